"""Sources that say otherwise: two sentences of nearly the same words, of the same things and times, with other figures.

Only what is all but certain counts. What two sources call differently, and what one says of another year, is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from functions.prose import clipped, content, likeness, plain, sentences
from schemas import Claim, Conflict, Passage

SAME = 0.8  # texts that share more of their content words say the same
SAME_WORDS = 0.7  # of the words of both sentences, figures apart
ABOUT = 0.05  # what figures may differ by where one of the sentences says `about`
MOST = 5  # conflicts that a claim names
_FIGURE = re.compile(r"(?<![\w.,-])(\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)(?![\w-]|[.,]\d)(?:\s?(%|[^\W\d_]+))?")
_SCALE = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
_MONTH = "(?:January|February|March|April|May|June|July|August|September|October|November|December)"
_BEFORE_A_YEAR = re.compile(r"\b(?:in|of|since|until|by|from|to|and|between|before|after|during),? $", re.IGNORECASE)
_DATE = re.compile(rf"\b(?:\d{{1,2}} )?{_MONTH}(?: \d{{1,2}},)?(?: \d{{4}})?\b")
# RTS,S, ML-KEM-768, FIPS 203, mceliece460896: a figure in a name is none. A sentence's first word may be no name.
_NAME = re.compile(r"(?:\b[A-Z]+[A-Z\d][\w,-]*|(?<!^)\b[A-Z][\w-]*|\b[a-z]+[A-Z\d][\w-]*)(?: \d+(?:\.\d+)?\b)?")
# What is counted or measured by a number that would else be a year: 1568 bytes, whatever stands before them.
_MEASURES = frozenset(content(
    "bit byte kilobyte megabyte gigabyte qubit euro dollar pound second minute hour day week month year metre meter"
    " kilometre kilometer mile gram kilogram tonne litre liter watt volt degree percent"
    " people children infants participants patients"
))  # fmt: skip
_ABOUT = re.compile(
    r"\b(?:about|approximately|around|nearly|roughly|some|almost|over|(?:more|less|fewer) than|up to|at least)\b", re.I
)
_ATTRIBUTION = re.compile(r"^According to [^,]{1,80},\s*|,?\s*according to [^,.]{1,80}(?=\.$)", re.IGNORECASE)
# Words by which a sentence is told rather than what it tells.
_TELLING = frozenset(content("also estimate estimated find found give given gave mean report reported say said state total"))


@dataclass(frozen=True)
class _Told:
    """What one sentence says: its words and names, when, and its figures, each with its unit."""

    words: frozenset[str]
    names: frozenset[str]
    times: tuple[str, ...]
    figures: tuple[tuple[str, float], ...]
    text: tuple[str, ...]  # the figures as they are written
    about: bool


def marked(claims: Iterable[Claim], passages: Sequence[Passage]) -> list[Claim]:
    """The claims, each with the passages of other sources that say otherwise."""
    by_id = {passage.id: passage for passage in passages}
    return [
        claim.model_copy(update={"conflicts": _conflicts(claim, by_id[claim.passage], passages)})
        if claim.passage in by_id
        else claim
        for claim in claims
    ]


def repeats(text: str, other: str) -> bool:
    """Whether a text says what another says: nearly the same words, and no figure that the other has not."""
    return likeness(text, other) >= SAME and amounts(text) <= amounts(other)


def amounts(text: str) -> frozenset[tuple[str, float]]:
    """The figures of a text, each with its unit; what belongs to a date or a name is none."""
    return frozenset(figure for sentence in sentences(text) for figure in _told(sentence).figures)


def times(text: str) -> frozenset[str]:
    """The dates and years of a text."""
    return frozenset(time for sentence in sentences(text) for time in _told(sentence).times)


def _conflicts(claim: Claim, own: Passage, passages: Iterable[Passage]) -> tuple[Conflict, ...]:
    said = [_told(sentence) for sentence in sentences(plain(claim.text))]
    rest = [
        (other, sentence) for other in passages if other.source.id != own.source.id for sentence in sentences(other.text)
    ]
    found: dict[str, Conflict] = {}
    for other, sentence in rest:
        theirs = _told(sentence)
        if difference := next(filter(None, (_difference(mine, theirs) for mine in said)), ""):
            reason = f"“{clipped(plain(other.source.title), 120)}” says {difference}"
            found.setdefault(other.id, Conflict(passage=other.id, reason=reason))
    return tuple(found.values())[:MOST]


def _difference(one: _Told, other: _Told) -> str:
    """What another sentence says otherwise, as a person would put it; empty where it does not."""
    if one.names != other.names or not _alike(one.words, other.words):
        return ""
    if one.figures or other.figures:
        pairs = list(zip(one.figures, other.figures, strict=False))
        same_things = len(one.figures) == len(other.figures) and all(mine[0] == theirs[0] for mine, theirs in pairs)
        if one.times != other.times or not same_things:
            return ""
        differ = [_apart(mine[1], theirs[1], one.about or other.about) for mine, theirs in pairs]
        apart = any(differ) and (len(differ) == 1 or not all(differ))  # all other: of another dose, another size
    else:
        apart = len(one.times) == len(other.times) and one.times != other.times
    told = (", ".join(other.text or other.times), ", ".join(one.text or one.times))
    return clipped(f"{told[0]}, not {told[1]}", 300) if apart else ""


def _alike(one: frozenset[str], other: frozenset[str]) -> bool:
    """Nearly the same words; where each has some of its own, the two tell of two things: client and server."""
    return bool(one) and (one <= other or other <= one) and len(one & other) >= SAME_WORDS * len(one | other)


def _apart(one: float, other: float, about: bool) -> bool:
    return abs(one - other) > (ABOUT if about else 0.001) * max(abs(one), abs(other))


@lru_cache(4_096)
def _told(sentence: str) -> _Told:
    bare = _ATTRIBUTION.sub("", sentence)
    times = [match[0] for match in _DATE.finditer(bare)]
    rest = _DATE.sub(" ", bare)
    found, text = [], []
    unnamed = _NAME.sub(" _ ", rest)
    for match in _FIGURE.finditer(unnamed):
        value, unit = float(match[1].replace(",", "")), (match[2] or "").lower()
        following = content(unnamed[match.end() :])[:1] if unit in _SCALE else content(unit)[:1]
        dated = not match[2] or _BEFORE_A_YEAR.search(unnamed[: match.start()])
        if dated and _is_year(match[1]) and not _MEASURES.intersection(following):
            times.append(match[1])
            continue
        found.append((following[0] if following else unit, value * _SCALE.get(unit, 1.0)))
        text.append(match[0].strip())
    words = frozenset(word for word in content(rest) if not word[0].isdigit()) - _TELLING
    names = frozenset(name.lower() for name in _NAME.findall(rest))
    return _Told(words, names, tuple(sorted(times)), tuple(sorted(found)), tuple(text), bool(_ABOUT.search(bare)))


def _is_year(text: str) -> bool:
    return len(text) == 4 and text.isdigit() and 1500 <= int(text) <= 2100
