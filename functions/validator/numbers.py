"""Numbers with their units: each of a claim's stands in the passage, however it is written, and of the same thing."""

from __future__ import annotations

import re
from dataclasses import dataclass

from functions.prose import content, sentences
from functions.validator.names import named
from functions.validator.resting import NUMBER

_UNIT = re.compile(r"\s*-?\s*(%|[^\W\d_]+)")
_SIMPLE = (
    "bit byte kilobyte megabyte gigabyte qubit gate core euro dollar crown second minute hour day week month year"
    " decade century"
    " thousand million billion trillion round candidate submission time metre kilometre gram kilogram tonne watt volt degree"
    " percent millisecond microsecond january february march april may june july august september october november december"
)
_UNITS = {unit: unit for unit in _SIMPLE.split()} | {
    "%": "percent", "ms": "millisecond", "kb": "kilobyte", "mb": "megabyte", "gb": "gigabyte", "km": "kilometre",
    "m": "metre",
    "kg": "kilogram", "meter": "metre", "kilometer": "kilometre", "ton": "tonne", "hr": "hour", "min": "minute",
    "centuries": "century",
}  # fmt: skip
_SCALES = {  # unit -> what it is a multiple of, and how many
    "kilobyte": ("byte", 1e3), "megabyte": ("byte", 1e6), "gigabyte": ("byte", 1e9), "minute": ("second", 60.0),
    "hour": ("second", 3600.0), "day": ("second", 86_400.0), "week": ("second", 604_800.0),
    "millisecond": ("second", 1e-3),
    "microsecond": ("second", 1e-6), "year": ("month", 12.0), "decade": ("month", 120.0), "century": ("month", 1200.0),
    "kilometre": ("metre", 1e3), "kilogram": ("gram", 1e3), "tonne": ("gram", 1e6), "thousand": ("", 1e3),
    "million": ("", 1e6), "billion": ("", 1e9), "trillion": ("", 1e12),
}  # fmt: skip
_SMALL = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
    " nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_SPELLED = {word: n for n, word in enumerate(_SMALL.split(), 2)} | {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
# `First` and `second` are left out: they put things in order more often than they count.
_ORDINALS = "third fourth fifth sixth seventh eighth ninth tenth"
_SPELLED |= {word: n for n, word in enumerate(_ORDINALS.split(), 3)}
COUNTED = "|".join(sorted(_SPELLED, key=len, reverse=True))
MEASURED = rf"(?:\d|(?:{COUNTED})\b|an? (?:{'|'.join(_SIMPLE.split())})\b)"  # how much, not what
_WORD = re.compile(rf"\b(?:{COUNTED})\b", re.IGNORECASE)
_ROUGHLY = re.compile(
    r"\b(?:about|around|roughly|nearly|almost|approximately|some|over|more than|under|less than)\s+$", re.IGNORECASE
)
_CLAUSE = re.compile(r"[,;:](?=\s)|\b(?:and|while|whereas|but|against)\b")
ROUNDED = 0.05  # how far a value may be off that a claim calls approximate


@dataclass(frozen=True)
class Amount:
    """A number as it is written, its unit where a known one follows, its place, whether it is called approximate."""

    value: str
    unit: str
    at: int
    rough: bool = False

    @property
    def said(self) -> str:
        return f"{self.value} {self.unit}".strip()


def amounts(text: str) -> list[Amount]:
    found = [
        _amount(text, match, match[0].replace(",", "").replace("−", "-").lstrip("+")) for match in NUMBER.finditer(text)
    ]
    return found + [_amount(text, match, str(_SPELLED[match[0].lower()])) for match in _WORD.finditer(text)]


def _amount(text: str, match: re.Match[str], value: str) -> Amount:
    after = _UNIT.match(text, match.end())
    rough = bool(_ROUGHLY.search(text, max(0, match.start() - 20), match.start()))
    return Amount(value, _unit(after[1]) if after else "", match.start(), rough)


def _unit(word: str) -> str:
    lower = word.lower()
    return _UNITS.get(lower) or _UNITS.get(lower.rstrip("s")) or ""


def numbers(claim: str, passage: str) -> str:
    """Every number of the claim stands in the passage, with the same unit where the claim gives it one."""
    there = amounts(passage)
    for mine in sorted(amounts(claim), key=lambda amount: amount.at):
        if any(_same(mine, other) for other in there):
            continue
        if any(mine.value == other.value for other in there):
            return f"the passage does not say {mine.said}"
        if _implied(mine, claim):
            continue
        return f"the number {mine.value} is not in the passage"
    return ""


def _implied(mine: Amount, claim: str) -> bool:
    """`one of the two`: a spelled two counts what is named, it does not measure."""
    return not claim[mine.at].isdigit() and mine.value == "2" and not mine.unit


def _same(mine: Amount, other: Amount) -> bool:
    if mine.value == other.value and (not mine.unit or mine.unit == other.unit):
        return True
    (value, unit), (told, of) = _base(mine), _base(other)
    if value is None or told is None or unit != of:
        return False
    return abs(value - told) <= abs(told) * (ROUNDED if mine.rough else 1e-9)


def _base(amount: Amount) -> tuple[float | None, str]:
    """The amount in the smallest unit of its kind; no value where it is a power, which floats do not hold."""
    unit, factor = _SCALES.get(amount.unit, (amount.unit, 1.0))
    return (None if "^" in amount.value or len(amount.value) > 30 else float(amount.value) * factor), unit


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
    return place.amount.unit == amount.unit and place.amount.value not in given


def _score(around: set[str], everything: set[str], place: _Place) -> int:
    return 2 * len(around & place.clause) + len(everything & place.sentence)


def _clause(text: str, at: int) -> set[str]:
    """The words of the clause that a number stands in, but for names: these govern more than their clause."""
    start = max((m.end() for m in _CLAUSE.finditer(text, 0, at)), default=0)
    end = next((m.start() for m in _CLAUSE.finditer(text, at)), len(text))
    clause = text[start:end]
    return set(content(NUMBER.sub(" ", clause))) - {piece for name in named(clause) for piece in (name, *content(name))}
