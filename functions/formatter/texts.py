"""The report as Markdown and as JSON: the same findings, with their citations and sources."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from functions.formatter.effort import duration
from functions.formatter.findings import Findings, Section, Statement
from functions.formatter.page import LABELS
from functions.prose import plain

FORM = 2  # of the JSON report; counted up when a field is removed or changes its meaning
_MARKUP = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
_LIST = re.compile(r"^([-+=]|\d+(?=[.)]))")


def as_json(findings: Findings) -> str:
    """Everything that the page shows, for programs."""
    statements = [_as_data(statement) for statement in findings.statements]
    content = {
        "torpor_report": FORM,
        "request_id": findings.request_id,
        "topic": findings.topic,
        "summary": findings.summary,
        "sub_questions": [
            {
                "number": section.number,
                "question": section.question,
                "statements": [statement.number for statement in section.statements] + list(section.again),
                "given_up_because": section.abandoned or None,
            }
            for section in findings.sections
        ],
        "statements": statements,
        "left_out": [
            {"sub_question": s.section, "text": s.text, "verdict": s.verdict, "reason": s.reason} for s in findings.left_out
        ],
        "sources": [
            {"number": cited.number, **cited.source.model_dump(), "statements": cited.statements}
            for cited in findings.sources
        ],
        "documents_searched": findings.documents,
        "not_used": [entry.model_dump() for entry in findings.unread],
        "not_used_more": findings.unread_more,
        "written_by": findings.writers,
        "judged_by": findings.judges,
        "effort": asdict(findings.effort) if findings.effort.known else None,
    }
    return json.dumps(_cleaned(content), ensure_ascii=False, indent=2, default=str) + "\n"


def _as_data(statement: Statement) -> dict[str, Any]:
    passage = statement.passage
    told: dict[str, Any] = {
        name: getattr(statement, name) for name in ("number", "text", "quoted", "written_by", "verdict", "by", "reason")
    }
    told["checks"] = [check.model_dump() for check in statement.checks]
    told["source"] = statement.source or None
    told["conflicts"] = [asdict(conflict) for conflict in statement.conflicts]
    told["passage"] = passage and {
        "text": passage.before + passage.said + passage.after,
        "resting_on": passage.said,
        "under": passage.under,
        "before": passage.leading,
        "after": passage.following,
        "page": passage.page,
        "offset": passage.offset,
    }
    return told


def _cleaned(value: Any) -> Any:
    """Every text without control, zero-width and bidirectional characters."""
    if isinstance(value, str):
        return plain(value)
    if isinstance(value, dict):
        return {key: _cleaned(entry) for key, entry in value.items()}
    return [_cleaned(entry) for entry in value] if isinstance(value, list | tuple) else value


def markdown(findings: Findings) -> str:
    """The report as a text to read, to mail and to put into a notebook: statements with footnotes."""
    lines = [f"# {_text(findings.topic)}", _lede(findings)]
    if findings.not_read:
        lines.append(f"{findings.not_read}: see “Not read” at the end of the sources.")
    for section in findings.sections:
        lines += _section(section)
    if findings.left_out:
        lines += [
            "## Left out",
            "Written for this report, and not found supported; nothing above rests on it.",
            _gone(findings),
        ]
    lines += ["## How each statement was checked", *_checks(findings)]
    if findings.effort.known:
        lines += ["## Time, tokens and cost", _effort(findings)]
    lines += ["## Sources", *_sources(findings)]
    lines += [f"Made by Torpor; request {findings.request_id}.", *_footnotes(findings)]
    return "\n\n".join(line for line in lines if line) + "\n"


def _text(value: str) -> str:
    """A value as Markdown that shows it and nothing else."""
    return _LIST.sub(r"\\\1", _MARKUP.sub(r"\\\1", plain(value)))


def _lede(findings: Findings) -> str:
    told = [f"{_text(s.text)}[^{s.number}]" if s.passage else _text(s.text) for s in findings.lede]
    return " ".join([*told, findings.remaining]).strip()


def _section(section: Section) -> list[str]:
    lines = [f"## {_text(section.question)}"]
    if section.abandoned:
        begun = "Answered in part" if section.statements or section.again else "Not answered"
        lines.append(f"**{begun}:** {_text(section.abandoned)}.")
    for statement in section.statements:
        text = f"“{_text(statement.text)}”" if statement.quoted else _text(statement.text)
        foot = f"[^{statement.number}]" if statement.passage else ""
        lines.append(f"{statement.number}. {text}{foot} ✓ {statement.verdict}")
        lines += [f"   **Another source says otherwise** (source {c.source}): {_text(c.said)}." for c in statement.conflicts]
    if section.again:
        lines.append("Said above, and an answer here too: " + ", ".join(map(str, section.again)) + ".")
    return lines


def _gone(findings: Findings) -> str:
    """What was left out, a list item each."""
    return "\n".join(
        f"- {_text(s.text)} ✗ {s.verdict} (for sub-question {s.section}: {_text(s.reason)})" for s in findings.left_out
    )


def _checks(findings: Findings) -> list[str]:
    if not findings.statements:
        return ["There are no statements."]
    rows = ["| Statement | By fixed rules | By the model | Verdict |", "|---|---|---|---|"]
    for statement in findings.statements:
        rules = ", ".join(
            f"{'✓' if c.passed else '✗'} {LABELS.get(c.name, _text(c.name))}" for c in statement.checks if c.name != "model"
        )
        model = next((f"“{_text(c.said)}”" for c in statement.checks if c.name == "model"), "not asked")
        rows.append(f"| {statement.number} | {rules or _text(statement.reason)} | {model} | {statement.verdict} |")
    judges = ", ".join(["fixed rules", *map(_text, findings.judges)])
    return ["\n".join(rows), f"Written by {_text(findings.written_by)}. Judged by {judges}."]


def _effort(findings: Findings) -> str:
    effort = findings.effort
    none = "none" if effort.total.cost else "not known"
    rows = ["| Agent | Runs | Woken | At work | Tokens | Cost |", "|---|--:|--:|--:|--:|--:|"]
    rows += [
        f"| {_text(w.agent)} | {w.runs} | {w.wakes} | {duration(w.duration_ms)} | {w.tokens:,} | {w.cost or none} |"
        for w in (*effort.agents, effort.total)
    ]
    return "\n".join(rows) + f"\n\nFrom the question to checked statements: {duration(effort.elapsed_ms)}."


def _sources(findings: Findings) -> list[str]:
    lines = []
    for cited in findings.sources:
        source = cited.source
        told = [f"*{_text(source.title)}*", _text(source.authors), str(source.year or ""), _text(source.id)]
        lines.append(f"{cited.number}. " + ", ".join(filter(None, told)))
    if findings.documents is not None:
        lines.append(f"{findings.documents} documents searched, {len(findings.sources)} cited.")
    if findings.unread:
        named = [f"- {_text(e.path)}: {_text(e.reason)}" for e in findings.unread]
        more = [f"- and {findings.unread_more} more"] if findings.unread_more else []
        lines += ["### Not read", "These belong to what was searched, and could not be read, or only in part."]
        lines.append("\n".join(named + more))
    return lines


def _footnotes(findings: Findings) -> list[str]:
    lines = []
    for statement in findings.statements:
        if passage := statement.passage:
            source = findings.sources[statement.source - 1].source
            place = f"page {passage.page}" if passage.page else f"from character {passage.offset}"
            text = _text(passage.before + passage.said + passage.after)
            lines.append(f"[^{statement.number}]: “{text}” {_text(source.title)}, {_text(source.id)}, {place}.")
    return lines
