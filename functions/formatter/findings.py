"""A result arranged for reading: statements and sources numbered through, each statement beside its passage and verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from functions.formatter.effort import Effort, effort
from functions.formatter.summing import summed
from functions.prose import clipped, content, likeness, plain, sentences
from schemas import Check, Claim, PartAbandoned, Passage, ResearchResult, Source, Unread, ValidationPassed

ALIKE = 0.5  # of two claims on one passage
Part = ValidationPassed | PartAbandoned


@dataclass(frozen=True)
class Quoted:
    """A passage: the words that matter most in the middle of it, its surroundings, and where it stands."""

    before: str
    said: str
    after: str
    leading: str
    following: str
    under: str
    page: int | None
    offset: int


@dataclass(frozen=True)
class Disagreeing:
    """A passage that says otherwise than a statement, what the two say, and whose it is."""

    said: str
    text: str
    source: int  # number in the list of sources
    where: str


@dataclass(frozen=True)
class Statement:
    """A claim with its number in the report, its passage and its verdict."""

    number: int
    text: str
    quoted: bool
    written_by: str
    source: int  # number in the list of sources; 0 where the passage is missing
    passage: Quoted | None
    verdict: str
    by: str
    reason: str
    checks: tuple[Check, ...]
    conflicts: tuple[Disagreeing, ...]


@dataclass(frozen=True)
class Omitted:
    """A statement that is not made, since it was not found supported, and the sub-question that it was written for."""

    section: int
    text: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Section:
    """A sub-question and what was found on it."""

    number: int
    question: str
    statements: tuple[Statement, ...]
    again: tuple[int, ...]  # statements of earlier sections that were found here as well
    abandoned: str
    left_out: tuple[Omitted, ...]


@dataclass(frozen=True)
class Cited:
    """A source and the statements that rest on it."""

    number: int
    source: Source
    statements: tuple[int, ...]


@dataclass(frozen=True)
class Findings:
    """Everything that a report shows, in whatever form."""

    request_id: str
    topic: str
    lede: tuple[Statement, ...]
    sections: tuple[Section, ...]
    sources: tuple[Cited, ...]
    writers: tuple[str, ...]
    too_small: tuple[str, ...]  # models that were not asked to write
    judges: tuple[str, ...]
    documents: int | None  # how many were searched; None where that is not known
    unread: tuple[Unread, ...]
    unread_more: int
    effort: Effort

    @property
    def statements(self) -> tuple[Statement, ...]:
        return tuple(statement for section in self.sections for statement in section.statements)

    @property
    def left_out(self) -> tuple[Omitted, ...]:
        return tuple(omitted for section in self.sections for omitted in section.left_out)

    @property
    def not_read(self) -> str:
        """How many sources are missing from the report, or a part of them; empty where none is."""
        many = len(self.unread) + self.unread_more
        return f"{many:,} {'source was' if many == 1 else 'sources were'} not read, or only in part" if many else ""

    @property
    def abandoned(self) -> int:
        return sum(bool(section.abandoned) for section in self.sections)

    @property
    def remaining(self) -> str:
        """What the summary says of what is disputed, and of what is missing."""
        return " ".join(filter(None, [self._disputed(), self._unanswered(), self._short_of_budget()]))

    @property
    def written_by(self) -> str:
        """Who wrote the statements, or why nobody did."""
        if not self.statements:
            return "nobody: there are no statements"
        why = f", for {', '.join(self.too_small)} is too small to be trusted with a sentence" if self.too_small else ""
        return ", ".join(self.writers) or f"no model: every statement is a quotation{why}"

    def _disputed(self) -> str:
        """That sources conflict, before what the summary says is taken for settled."""
        numbers = [str(statement.number) for statement in self.statements if statement.conflicts]
        named = f"{', '.join(numbers[:-1])} and {numbers[-1]}" if len(numbers) > 1 else "".join(numbers)
        return f"Sources conflict: see {'statements' if len(numbers) > 1 else 'statement'} {named}." if numbers else ""

    def _short_of_budget(self) -> str:
        calls = self.effort.refused
        if not calls:
            return ""
        many = "call of a model was" if calls == 1 else "calls of models were"
        return f"This report is partial: the request's token budget was used up, and {calls} {many} not made."

    def _unanswered(self) -> str:
        if not self.lede:
            many = "sub-question remains" if len(self.sections) == 1 else "sub-questions remain"
            return f"No statement could be made that the documents support; {len(self.sections)} {many} open."
        silent = sum(not (section.statements or section.again) for section in self.sections)
        return f"On {silent} of {len(self.sections)} sub-questions nothing could be said." if silent else ""

    @property
    def summary(self) -> str:
        """The report in a few sentences."""
        return " ".join(filter(None, [clipped(" ".join(plain(s.text) for s in self.lede), 4_000), self.remaining]))


def arranged(result: ResearchResult) -> Findings:
    """The findings of a result; the same for the same result."""
    sources = _sources(result.parts)
    places = {source.id: number for number, source in enumerate(sources, 1)}
    told: list[tuple[int, Claim]] = []
    sections = [_section(part, told, places) for part in result.parts]
    written = [statement for section in sections for statement in section.statements]
    collections = [part.collection for part in result.parts if part.collection]
    return Findings(
        request_id=str(result.request_id),
        topic=result.topic,
        lede=summed(result.topic, sections),
        sections=tuple(sections),
        sources=tuple(
            Cited(n, s, tuple(w.number for w in written if n in (w.source, *(c.source for c in w.conflicts))))
            for n, s in enumerate(sources, 1)
        ),
        writers=_named(statement.written_by for statement in written),
        too_small=_named(part.too_small for part in result.parts),
        judges=_named(part.checked_by for part in result.parts),
        documents=max((collection.documents for collection in collections), default=None),
        unread=tuple(dict.fromkeys(entry for collection in collections for entry in collection.unread)),
        unread_more=max((collection.unread_more for collection in collections), default=0),
        effort=effort(result),
    )


def _section(part: Part, told: list[tuple[int, Claim]], places: dict[str, int]) -> Section:
    """A part's statements, numbered on from those `told`; what was said before is only pointed at."""
    statements, again = [], []
    for index, claim in _sound(part):
        if before := next((number for number, other in told if _same(claim, other)), 0):
            again.append(before)
            continue
        told.append((len(told) + 1, claim))
        statements.append(_statement(part, index, len(told), places))
    reason = part.reason.rstrip(". ") if isinstance(part, PartAbandoned) else ""
    return Section(part.part, part.question, tuple(statements), tuple(sorted(set(again))), reason, _left_out(part))


def _sound(part: Part) -> list[tuple[int, Claim]]:
    """The claims that were found supported, with their places among all."""
    sound = {verdict.claim for verdict in part.verdicts if verdict.verdict == "supported"}
    return [(index, claim) for index, claim in enumerate(part.claims) if index in sound]


def _left_out(part: Part) -> tuple[Omitted, ...]:
    """What the part says that it left out, and whatever else in it was not found supported."""
    judged = {verdict.claim: verdict for verdict in part.verdicts}
    gone = [(left.text, str(left.verdict), left.reason) for left in part.left_out]
    for index, claim in enumerate(part.claims):
        verdict = judged.get(index)
        if verdict is None:
            gone.append((claim.text, "not judged", "no verdict came with it"))
        elif verdict.verdict != "supported":
            gone.append((claim.text, verdict.verdict, verdict.reason))
    return tuple(Omitted(part.part, text, said.replace("_", " "), why) for text, said, why in dict.fromkeys(gone))


def _same(claim: Claim, other: Claim) -> bool:
    """Whether two claims rest on one passage and say much the same of it."""
    alike = claim.text in other.text or likeness(claim.text, other.text) >= ALIKE
    return claim.passage == other.passage and alike


def _sources(parts: Sequence[Part]) -> list[Source]:
    """The sources that statements rest on, and those that say otherwise, in the order of their first citation."""
    found: dict[str, Source] = {}
    for part in parts:
        passages = {passage.id: passage for passage in part.passages}
        for _, claim in _sound(part):
            for name in (claim.passage, *(conflict.passage for conflict in claim.conflicts)):
                if name in passages:
                    found.setdefault(passages[name].source.id, passages[name].source)
    return list(found.values())


def _statement(part: Part, index: int, number: int, places: dict[str, int]) -> Statement:
    claim = part.claims[index]
    passage = next((passage for passage in part.passages if passage.id == claim.passage), None)
    verdict = next(v for v in part.verdicts if v.claim == index)
    return Statement(
        number=number,
        text=claim.text,
        quoted=claim.quoted,
        written_by="" if claim.quoted else part.written_by or "a model that is not named",
        source=places.get(passage.source.id, 0) if passage else 0,
        passage=_quoted(claim, passage) if passage else None,
        verdict=verdict.verdict.replace("_", " "),
        by=verdict.by,
        reason=verdict.reason,
        checks=verdict.checks,
        conflicts=_conflicts(part, claim, places),
    )


def _conflicts(part: Part, claim: Claim, places: dict[str, int]) -> tuple[Disagreeing, ...]:
    passages = {passage.id: passage for passage in part.passages}
    named = [(conflict, passages[conflict.passage]) for conflict in claim.conflicts if conflict.passage in passages]
    return tuple(
        Disagreeing(conflict.reason, plain(other.text), places.get(other.source.id, 0), _where(other))
        for conflict, other in named
    )


def _where(passage: Passage) -> str:
    return f"page {passage.page}" if passage.page else f"from character {passage.offset}"


def _quoted(claim: Claim, passage: Passage) -> Quoted:
    text = plain(passage.text)
    before, said, after = text.partition(plain(claim.text) if claim.quoted else _nearest(claim.text, text))
    return Quoted(before, said, after, passage.before, passage.after, passage.under, passage.page, passage.offset)


def _nearest(claim: str, text: str) -> str:
    """The sentence of a passage that shares most words with a claim."""
    mine = set(content(claim))
    return max(sentences(text), key=lambda sentence: len(mine & set(content(sentence))), default=text)


def _named(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(filter(None, names)))
