"""What code can say of a claim: a fault, or nothing. It reads only the claim, its passage and the headings above it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from functions.prose import clipped, plain
from functions.validator.comparisons import comparisons
from functions.validator.coverage import coverage
from functions.validator.kinds import kinds
from functions.validator.names import names, subjects
from functions.validator.negation import negation
from functions.validator.numbers import bearers, numbers
from functions.validator.quantifiers import quantifiers
from functions.validator.quotations import quotations, whole
from functions.validator.splices import splices
from schemas import Check, Claim, Passage, Verdict

Kind = Literal["supported", "contradicted", "not_in_passage"]
Rule = Callable[[str, str, str], str]


def verdict(number: int, claim: Claim, passages: dict[str, Passage]) -> Verdict:
    """What code makes of a claim: every check, and by the first fault found, or its absence, the verdict."""
    made = _made(claim, passages.get(claim.passage))
    kind, reason = next(((kind, check.said) for kind, check in made if not check.passed), _sound(claim))
    return Verdict(claim=number, verdict=kind, reason=reason, by="code", checks=tuple(check for _, check in made))


def _made(claim: Claim, passage: Passage | None) -> list[tuple[Kind, Check]]:
    """The checks of a claim, each with what its fault means."""
    if passage is None:
        return [("not_in_passage", _check("passage", "it cites a passage that is not there"))]
    if claim.quoted:
        return [("not_in_passage", _check("word for word", whole(claim.text, passage.text)))]
    said, told, above = plain(claim.text), plain(passage.text), plain(f"{passage.source.title}. {passage.under}")
    return [(kind, _check(name, check(said, told, above))) for name, kind, check in _CHECKS]


def _check(name: str, fault: str) -> Check:
    return Check(name=name, passed=not fault, said=clipped(fault, 300))


def _sound(claim: Claim) -> tuple[Kind, str]:
    return "supported", "word for word" if claim.quoted else "names, numbers and words agree with the passage"


def _alone(check: Callable[[str, str], str]) -> Rule:
    """A check that the headings do not concern."""
    return lambda claim, passage, above: check(claim, passage)


# Each check by its name, with what its fault means.
_CHECKS: tuple[tuple[str, Kind, Rule], ...] = (
    ("numbers", "not_in_passage", _alone(numbers)),
    ("names", "not_in_passage", names),
    ("quotations", "not_in_passage", _alone(quotations)),
    ("words", "not_in_passage", _alone(coverage)),
    ("bearers", "contradicted", _alone(bearers)),
    ("subjects", "contradicted", _alone(subjects)),
    ("splices", "contradicted", _alone(splices)),
    ("denial", "contradicted", _alone(negation)),
    ("comparisons", "contradicted", _alone(comparisons)),
    ("generality", "contradicted", _alone(quantifiers)),
    ("kinds", "not_in_passage", _alone(kinds)),
)
