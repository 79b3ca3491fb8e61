"""Numbers that a passage gives without writing them: shares, sums and differences of those that it writes."""

from __future__ import annotations

import re
from calendar import month_name
from itertools import combinations

_ORDINALS = "third quarter fifth sixth seventh eighth ninth tenth"
_PARTS = {word: n for n, word in enumerate(_ORDINALS.split(), 3)} | {"fourth": 4}
_SHARE = re.compile(rf"\b(a|one|two|three|four)[- ]({'|'.join(_PARTS)})s?\b", re.IGNORECASE)
_TAKEN = {"a": 1, "one": 1, "two": 2, "three": 3, "four": 4}
_OUT_OF = re.compile(r"\b(\d{1,9}) (?:out )?of (?:the |these |all )?(\d{1,9})\b")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?)(?: percent\b|\s?%)")
_MONTHS = {name.lower(): n for n, name in enumerate(month_name) if name}
_DATE = re.compile(rf"\b(?:({'|'.join(_MONTHS)}) )?(?:\d\d?,? )?((?:1[5-9]|20)\d\d)\b", re.IGNORECASE)
# A claim says that it has added up, or taken away.
_ADDED = re.compile(r"\b(?:altogether|together|in all|in total|sum|combined|all told)\b", re.IGNORECASE)
_APART = re.compile(r"\b(?:than|before|after|later|earlier|apart|between|separat\w+|differ\w*|gap|within)\b", re.IGNORECASE)


def share(text: str, at: int) -> float | None:
    """The share that the word at a place of a text gives, `a third`."""
    found = next((match for match in _SHARE.finditer(text) if at in (match.start(1), match.start(2))), None)
    return _share(found) if found else None


def _share(found: re.Match[str]) -> float:
    return _TAKEN[found[1].lower()] / _PARTS[found[2].lower()]


def told_shares(passage: str) -> list[float]:
    """The shares that a passage gives: `12 of the 36`, `25.9 percent`, `a third`."""
    parts = [int(part) / int(whole) for part, whole in _OUT_OF.findall(passage) if int(whole)]
    percents = [float(percent) / 100 for percent in _PERCENT.findall(passage)]
    return parts + percents + [_share(found) for found in _SHARE.finditer(passage)]


def results(claim: str, told: list[tuple[float, str]]) -> list[tuple[float, str]]:
    """Sums and differences of two amounts in one unit, where the claim says that it has made one."""
    adds, parts = _ADDED.search(claim), _APART.search(claim)
    if not adds and not parts:
        return []
    pairs = [(a, b, unit) for (a, unit), (b, other) in combinations(told, 2) if unit == other and unit]
    added = [(a + b, unit) for a, b, unit in pairs] if adds else []
    return added + ([(abs(a - b), unit) for a, b, unit in pairs] if parts else [])


def ratios(told: list[tuple[float, str]]) -> list[float]:
    """How many times greater one amount is than another in the same unit."""
    pairs = [(a, b) for (a, unit), (b, other) in combinations(told, 2) if unit == other and unit and min(a, b) > 0]
    return [max(pair) / min(pair) for pair in pairs]


def periods(claim: str, passage: str) -> list[tuple[float, str]]:
    """The months between two dates of a passage: whole years where one of them has no month."""
    if not _APART.search(claim):
        return []
    dates = [(int(year), _MONTHS.get(month.lower(), 0)) for month, year in _DATE.findall(passage)]
    return [
        (abs(12 * (year - other) + (month - of_other if month and of_other else 0)), "month")
        for (year, month), (other, of_other) in combinations(dates, 2)
    ]
