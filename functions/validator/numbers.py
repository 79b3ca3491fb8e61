"""Numbers with their units: each of a claim's stands in the passage, however it is written, and of the same thing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from functions.prose import content, sentences
from functions.validator.derived import periods, ratios, results, share, told_shares
from functions.validator.names import named
from functions.validator.resting import NUMBER
from functions.validator.spelled import COUNTED, spelled
from functions.validator.units import MULTIPLIERS, NAMES, scaled, unit

_UNIT = re.compile(r"\s*-?\s*(?:(?:more|fewer|less|further|full) )?(%|[^\W\d_]+)")
_ORDINAL = re.compile(r"\b(\d{1,4})(?:st|nd|rd|th)\b")
MEASURED = rf"(?:\d|(?:{COUNTED})\b|an? (?:{NAMES})\b)"  # how much, not what
ROUNDED = (0.05, 0.05)  # how far below and above what a claim calls approximate the passage's number may be
_ONE = re.compile(rf"\b(?:an?|one|every|per)(?= (?:{NAMES})\b)", re.IGNORECASE)
_ROUGHLY = (  # what stands before a number, and how far below and above it the passage's may be
    (re.compile(r"\b(?:about|around|roughly|nearly|almost|approximately|some)\s+(?:an? )?$", re.IGNORECASE), ROUNDED),
    (re.compile(r"\b(?:under|below|less than|fewer than)\s+(?:an? )?$", re.IGNORECASE), (0.2, 0.0)),
    (re.compile(r"\b(?:over|above|beyond|more than|at least)\s+(?:an? )?$", re.IGNORECASE), (0.0, 0.25)),
)
_BARE = re.compile(r"\s*(?:[.,;:)]|$|(?:to|and|or|for|in|at|with|against)\b)")  # after a number that nothing is counted by
_LISTED = re.compile(r"\b(?:the|these|those|all|both|its|their|other)\s+$", re.IGNORECASE)
_FEW = 5  # things that a passage may name without counting them
_YEAR = re.compile(r"(?:1[5-9]|20)\d\d$")
_CLAUSE = re.compile(r"[,;:](?=\s)|\b(?:and|while|whereas|but|against)\b")


@dataclass(frozen=True)
class Amount:
    """A number as it is written, its unit where a known one follows, its place, how far the passage's may be off."""

    value: str
    unit: str
    at: int
    margin: tuple[float, float] = (0.0, 0.0)
    of: str = ""  # the unit after `million`
    noun: str = ""  # the word after it
    bare: bool = False  # whether none follows

    @property
    def said(self) -> str:
        return f"{self.value} {self.unit}".strip()

    def readings(self) -> list[tuple[float, str]]:
        """The amount in the smallest unit of its kind; none where it is a power, which floats do not hold."""
        if "^" in self.value or len(self.value) > 30:
            return []
        base, factor = scaled(self.unit)
        found = [(float(self.value) * factor, base)]
        if self.of:
            base, more = scaled(self.of)
            found.append((float(self.value) * factor * more, base))
        return found


def amounts(text: str) -> list[Amount]:
    figures = [(match, match[0].replace(",", "").replace("−", "-").lstrip("+")) for match in NUMBER.finditer(text)]
    ordinals = [(match, match[1]) for match in _ORDINAL.finditer(text)]
    return [_amount(text, match, value) for match, value in (*figures, *ordinals, *spelled(text))]


def _amount(text: str, match: re.Match[str], value: str) -> Amount:
    before = text[max(0, match.start() - 20) : match.start()]
    margin = next((margin for pattern, margin in _ROUGHLY if pattern.search(before)), (0.0, 0.0))
    after = _UNIT.match(text, match.end())
    name = unit(after[1]) if after else ""
    further = _UNIT.match(text, after.end()) if after and name in MULTIPLIERS else None
    bare = bool(_BARE.match(text, match.end()))
    return Amount(value, name, match.start(), margin, unit(further[1]) if further else "", after[1] if after else "", bare)


def numbers(claim: str, passage: str) -> str:
    """Every number of the claim stands in the passage, or follows from it, with its unit where the claim gives it one."""
    there = amounts(passage)
    ones = [_amount(passage, match, "1") for match in _ONE.finditer(passage)]
    told = [reading for other in (*there, *ones) for reading in other.readings()]
    made = results(claim, told) + periods(claim, passage)
    for mine in sorted(amounts(claim), key=lambda amount: amount.at):
        part = share(claim, mine.at)
        if part and any(_within(of, part, mine.margin) for of in told_shares(passage)):
            continue
        if mine.unit == "time" and any(_within(of, float(mine.value), ROUNDED) for of in ratios(told)):
            continue
        if part and mine.noun == "of":
            return f"the passage does not give the share of {part:.0%}"
        if any(_same(mine, other, there) for other in there) or _close(mine, told + made):
            continue
        if any(mine.value == other.value for other in there):
            return f"the passage does not say {mine.said}"
        if _implied(mine, claim, there):
            continue
        return f"the number {mine.value} is not in the passage"
    return ""


def _implied(mine: Amount, claim: str, there: list[Amount]) -> bool:
    """`the three sets`: a few, spelled, count what is named and measure nothing, unless the passage counts them itself."""
    if not claim[mine.at].isalpha() or mine.unit or float(mine.value) > _FEW:
        return False
    return mine.value == "2" or bool(_LISTED.search(claim[: mine.at]) and all(mine.noun != other.noun for other in there))


def _same(mine: Amount, other: Amount, there: list[Amount]) -> bool:
    """Whether two amounts are written alike; a number on its own is a factor, or has the unit that stands with another."""
    shared = other.bare and (mine.unit == "time" or any(mine.unit == beside.unit for beside in there))
    return mine.value == other.value and (not mine.unit or mine.unit == other.unit or shared)


def _close(mine: Amount, told: list[tuple[float, str]]) -> bool:
    """Whether an amount is one of those told, in whatever unit of its kind."""
    said = mine.readings()
    return any(base == of and _within(there, value, mine.margin) for there, base in told for value, of in said)


def _within(told: float, said: float, margin: tuple[float, float]) -> bool:
    """Whether what is told is no further off what is said than its margin."""
    below, above = margin
    return said - abs(said) * (below + 1e-9) <= told <= said + abs(said) * (above + 1e-9)


def bearers(claim: str, passage: str) -> str:
    """No other number of the passage stands closer to the claim's words than the one that the claim gives."""
    mine, there = amounts(claim), _placed(passage)
    given = {amount.value for amount in mine}
    for amount in mine:
        around, everything = _clause(claim, amount.at), set(content(NUMBER.sub(" ", claim)))
        own = [_score(around, everything, place) for place in there if place.amount.value == amount.value]
        others = [_score(around, everything, place) for place in there if _rival(amount, place, given)]
        if own and others and max(own) < max(others):
            return f"the passage says {amount.said} of something else"
    return ""


@dataclass(frozen=True)
class _Place:
    amount: Amount
    clause: frozenset[str]
    sentence: frozenset[str]


def _placed(passage: str) -> list[_Place]:
    return [
        _Place(amount, frozenset(_clause(told, amount.at)), frozenset(content(NUMBER.sub(" ", told))))
        for told in sentences(passage)
        for amount in amounts(told)
    ]


def _rival(amount: Amount, place: _Place, given: set[str]) -> bool:
    """Whether a place has another number, in the same unit, that the claim does not give as well."""
    alike = place.amount.unit == amount.unit and bool(_YEAR.match(place.amount.said)) == bool(_YEAR.match(amount.said))
    return alike and place.amount.value not in given


def _score(around: set[str], everything: set[str], place: _Place) -> int:
    return 2 * len(around & place.clause) + len(everything & place.sentence)


def _clause(text: str, at: int) -> set[str]:
    """The words of the clause that a number stands in, but for names: these govern more than their clause."""
    start = max((m.end() for m in _CLAUSE.finditer(text, 0, at)), default=0)
    end = next((m.start() for m in _CLAUSE.finditer(text, at)), len(text))
    clause = text[start:end]
    return set(content(NUMBER.sub(" ", clause))) - {piece for name in named(clause) for piece in (name, *content(name))}
