"""A result arranged for reading: statements and sources numbered through, each statement beside its passage and verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from functions.prose import clipped, likeness, plain
from schemas import Claim, PartAbandoned, Passage, ResearchResult, Source, ValidationPassed, Verdict

PER_PART = 2  # sentences of the summary from one part
SAME = 0.8
Part = ValidationPassed | PartAbandoned


@dataclass(frozen=True)
class Statement:
    """A claim with its number in the report, its passage in three pieces (the quoted words in the middle), its verdict."""

    number: int
    text: str
    quoted: bool
    written_by: str
    before: str
    said: str
    after: str
    source: int  # number in the list of sources; 0 where the passage is missing
    offset: int
    verdict: str
    by: str
    reason: str


@dataclass(frozen=True)
class Section:
    """A sub-question and what was found on it."""

    number: int
    question: str
    statements: tuple[Statement, ...]
    again: tuple[int, ...]  # statements of earlier sections that were found here as well
    abandoned: str


@dataclass(frozen=True)
class Cited:
    """A source and the statements that rest on it."""

    number: int
    source: Source
    statements: tuple[int, ...]


@dataclass(frozen=True)
class Findings:
    """Everything that the page shows."""

    topic: str
    summary: str
    sections: tuple[Section, ...]
    sources: tuple[Cited, ...]
    writers: tuple[str, ...]
    judges: tuple[str, ...]

    @property
    def statements(self) -> tuple[Statement, ...]:
        return tuple(statement for section in self.sections for statement in section.statements)

    @property
    def abandoned(self) -> int:
        return sum(bool(section.abandoned) for section in self.sections)


def arranged(result: ResearchResult) -> Findings:
    """The findings of a result; the same for the same result."""
    sources = _sources(result.parts)
    places = {source.id: number for number, source in enumerate(sources, 1)}
    numbers: dict[tuple[str, str], int] = {}
    sections = [_section(part, numbers, places) for part in result.parts]
    written = [statement for section in sections for statement in section.statements]
    return Findings(
        topic=result.topic,
        summary=summary(result),
        sections=tuple(sections),
        sources=tuple(Cited(n, s, tuple(w.number for w in written if w.source == n)) for n, s in enumerate(sources, 1)),
        writers=_named(part.written_by for part in result.parts if any(not claim.quoted for claim in part.claims)),
        judges=_named(part.checked_by for part in result.parts),
    )


def _section(part: Part, numbers: dict[tuple[str, str], int], places: dict[str, int]) -> Section:
    """A part's statements, numbered on from `numbers`; what was said before is only pointed at."""
    statements, again = [], []
    for index, claim in enumerate(part.claims):
        same = (claim.text, claim.passage)
        if same in numbers:
            again.append(numbers[same])
            continue
        numbers[same] = len(numbers) + 1
        statements.append(_statement(part, index, numbers[same], places))
    reason = part.reason.rstrip(". ") if isinstance(part, PartAbandoned) else ""
    return Section(part.part, part.question, tuple(statements), tuple(again), reason)


def summary(result: ResearchResult) -> str:
    """The report in a few sentences: the first statements of each part, none twice."""
    told: list[str] = []
    for part in result.parts:
        fresh = [plain(c.text) for c in part.claims if all(likeness(c.text, other) < SAME for other in told)]
        told += fresh[:PER_PART]
    answered = sum(bool(part.claims) for part in result.parts)
    if not told:
        return f"No statement could be made that the documents support; {len(result.parts)} sub-questions remain open."
    open_ = len(result.parts) - answered
    rest = f" On {open_} of {len(result.parts)} sub-questions nothing could be said." if open_ else ""
    return clipped(" ".join(told), 4_000) + rest


def _sources(parts: Sequence[Part]) -> list[Source]:
    """The sources that are cited, in the order of their first citation."""
    found: dict[str, Source] = {}
    for part in parts:
        passages = {passage.id: passage for passage in part.passages}
        for claim in part.claims:
            if claim.passage in passages:
                source = passages[claim.passage].source
                found.setdefault(source.id, source)
    return list(found.values())


def _statement(part: Part, index: int, number: int, places: dict[str, int]) -> Statement:
    claim = part.claims[index]
    passage = next((passage for passage in part.passages if passage.id == claim.passage), None)
    verdict = next((v for v in part.verdicts if v.claim == index), None)
    before, said, after = _pieces(claim, passage)
    return Statement(
        number=number,
        text=claim.text,
        quoted=claim.quoted,
        written_by="quoted" if claim.quoted else part.written_by or "a model that is not named",
        before=before,
        said=said,
        after=after,
        source=places.get(passage.source.id, 0) if passage else 0,
        offset=passage.offset if passage else 0,
        **_judged(verdict),
    )


def _pieces(claim: Claim, passage: Passage | None) -> tuple[str, str, str]:
    if passage is None:
        return "", "", ""
    before, said, after = plain(passage.text).partition(plain(claim.text)) if claim.quoted else (plain(passage.text), "", "")
    return before, said, after


def _judged(verdict: Verdict | None) -> dict[str, str]:
    if verdict is None:
        return {"verdict": "not judged", "by": "", "reason": "no verdict came with it"}
    return {"verdict": verdict.verdict.replace("_", " "), "by": verdict.by, "reason": verdict.reason}


def _named(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, names)))
