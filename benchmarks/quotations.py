"""What reports that only quote tell of what answers a question: `python -m benchmarks.quotations [--show]`.

The questions of the example collections and further ones, each in two parts as the planner makes them without a model,
quoted as for a model that is too small to write. Counted are the strings that an answer must contain. Needs neither
platform nor model.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import UUID

import yaml

from functions.formatter.findings import Findings, arranged
from functions.planner.questions import chosen
from functions.research_assistant.agent import LOOKED_AT, PASSAGES
from functions.research_assistant.documents import document
from functions.research_assistant.quoting import quotations
from functions.research_assistant.ranking import Library
from schemas import PartAbandoned, ResearchResult, ValidationPassed, Verdict

EXAMPLES = Path(__file__).parents[1] / "examples"
FURTHER = Path(__file__).with_name("questions.yaml")
DEPTH = 2
ID = UUID(int=1, version=4)


def report(library: Library, topic: str, depth: int = DEPTH) -> Findings:
    """The findings on a topic, as they are where nothing but quotations is written."""
    parts = [_part(library, topic, n, depth, question) for n, question in enumerate(chosen(topic, [], depth), 1)]
    return arranged(ResearchResult(request_id=ID, topic=topic, parts=tuple(parts)))


def _part(library: Library, topic: str, number: int, depth: int, question: str) -> ValidationPassed | PartAbandoned:
    found = library.best(question, topic, LOOKED_AT)
    claims = quotations(found, question, topic, PASSAGES)
    same = {"request_id": ID, "topic": topic, "part": number, "of": depth, "revision": 0, "question": question}
    if not claims:
        return PartAbandoned(**same, reason="nothing was found")
    sound = tuple(Verdict(claim=n, verdict="supported", reason="word for word", by="code") for n in range(len(claims)))
    return ValidationPassed(**same, claims=tuple(claims), passages=tuple(found), verdicts=sound)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", action="store_true", help="list each report's statements; * marks those with an answer")
    options = parser.parse_args()
    examples = {path.stem: yaml.safe_load(path.read_text()) for path in sorted((EXAMPLES / "questions").glob("*.yaml"))}
    _tell("questions of the examples", examples, options.show)
    _tell("further questions", yaml.safe_load(FURTHER.read_text()), options.show)


def _tell(what: str, collections: dict[str, list[dict[str, Any]]], show: bool) -> None:
    counted: Counter[str] = Counter()
    for name, questions in collections.items():
        folder = sorted((EXAMPLES / name).glob("*.md"))
        library = Library.of([document(file.name, file.read_bytes()) for file in folder])
        for asked in questions:
            findings, answers = report(library, asked["question"]), [answer.lower() for answer in asked["must_contain"]]
            counted.update(_counts(findings, answers))
            if show:
                _show(findings, answers)
    print(f"{what}: {', '.join(f'{name} {count}' for name, count in counted.items())}")


def _counts(findings: Findings, answers: list[str]) -> dict[str, int]:
    told = " ".join(statement.text for statement in findings.statements).lower()
    first = next((statement.text.lower() for statement in findings.statements), "")
    return {
        "strings": len(answers),
        "in statements": sum(answer in told for answer in answers),
        "in summaries": sum(answer in findings.summary.lower() for answer in answers),
        "questions": 1,
        "with all": all(answer in told for answer in answers),
        "beginning with one": any(answer in first for answer in answers),
    }


def _show(findings: Findings, answers: list[str]) -> None:
    print(f"\n# {findings.topic}\n  summary: {', '.join(str(statement.number) for statement in findings.lede)}")
    for section in findings.sections:
        print(f"## {section.question}")
        for statement in section.statements:
            mark = "*" if any(answer in statement.text.lower() for answer in answers) else " "
            print(f"{mark} {statement.number}. {statement.text}")


if __name__ == "__main__":
    main()
