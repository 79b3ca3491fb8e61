"""What code can say of a claim: a fault, or nothing. It reads only the claim and its passage."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from functions.prose import clipped, content, plain, sentences, words
from schemas import Check, Claim, Passage, Verdict

Kind = Literal["supported", "contradicted", "not_in_passage"]
Rule = Callable[[str, str], str]
COVERED = 0.7  # of a claim's content words must stand in its passage
TOGETHER = 0.6  # and so many of them in one place of it
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?(?:\^[-−]?\d+(?:\.\d+)?)?(?![\w^])")
_UNIT = re.compile(r"\s*-?\s*(%|[^\W\d_]+)")
_NAME = re.compile(r"(?<![\w$-])(?:[A-Z][\w’'+]*|\w*[a-z][A-Z]\w*|\w*[A-Za-z]\d[\w]*)(?:-[\w+]+)*")
_UNIT_WORDS = {
    **{
        unit: unit for unit in ("bit", "byte", "kilobyte", "megabyte", "gigabyte", "qubit", "gate", "core", "euro", "dollar")
    },
    **{unit: unit for unit in ("second", "minute", "hour", "day", "week", "month", "year", "decade", "century")},
    **{unit: unit for unit in ("thousand", "million", "billion", "trillion", "round", "candidate", "submission", "time")},
    **{unit: unit for unit in ("metre", "kilometre", "gram", "kilogram", "watt", "volt", "degree", "percent")},
    **{unit: unit for unit in ("january", "february", "march", "april", "may", "june", "july", "august", "september")},
    **{unit: unit for unit in ("october", "november", "december")},
}
_UNITS = _UNIT_WORDS | {"%": "percent", "ms": "millisecond", "kb": "kilobyte", "mb": "megabyte", "gb": "gigabyte"}
_SPELLED = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_NEGATION = re.compile(
    r"\b(?:not|no|never|none|neither|nor|cannot|without|\w+n['’]t|fails? to|unable to|forbids?)\b", re.IGNORECASE
)


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
        return [("not_in_passage", _check("word for word", _quoted(claim.text, passage.text)))]
    return [(kind, _check(name, check(claim.text, passage.text))) for name, kind, check in _CHECKS]


def _check(name: str, fault: str) -> Check:
    return Check(name=name, passed=not fault, said=clipped(fault, 300))


def _sound(claim: Claim) -> tuple[Kind, str]:
    return "supported", "word for word" if claim.quoted else "names, numbers and words agree with the passage"


def _quoted(claim: str, passage: str) -> str:
    found = plain(claim) in plain(passage)
    return "" if found and content(claim) else "it is marked as a quotation and is not in the passage word for word"


def numbers(claim: str, passage: str) -> str:
    """Every number of the claim stands in the passage, with the same unit where the claim gives it one."""
    there = _amounts(passage)
    for number, unit in sorted(_amounts(claim)):
        units = {u for n, u in there if n == number}
        if not units:
            return f"the number {number} is not in the passage"
        if unit and unit not in units:
            return f"the passage does not say {number} {unit}"
    return ""


def _amounts(text: str) -> set[tuple[str, str]]:
    """Numbers in one form, each with its unit where a known one follows (or the month that stands before it)."""
    found = set()
    for match in _NUMBER.finditer(text):
        after = _UNIT.match(text, match.end())
        unit = _unit(after[1]) if after else ""
        found.add((match[0].replace(",", "").replace("−", "-").lstrip("+"), unit))
    lower = words(text)
    for at, word in enumerate(lower):
        unit = _unit(lower[at + 1]) if at + 1 < len(lower) else ""
        if word in _SPELLED and unit:
            found.add((str(_SPELLED[word]), unit))
    return found


def _unit(word: str) -> str:
    lower = word.lower()
    return _UNITS.get(lower) or _UNITS.get(lower.rstrip("s")) or ""


def names(claim: str, passage: str) -> str:
    """Every name of the claim (capitals inside a sentence, letters with digits) stands in the passage."""
    known = set(words(passage)) | {piece for word in words(passage) for piece in re.split(r"[-'’.]", word)}
    for name in _names(claim):
        if name not in known and not _within(name, passage):
            return f"the name {name} is not in the passage"
    return ""


def _names(text: str) -> list[str]:
    """Names in lower case; the word that opens a sentence is one only when more than its first letter says so."""
    found = []
    for sentence in sentences(text):
        for match in _NAME.finditer(sentence):
            name = re.sub(r"['’]s$", "", match[0])
            if match.start() > 0 or not name[1:].islower():
                found.append(name.lower())
    return found


def bearers(claim: str, passage: str) -> str:
    """A number of the claim stands in a sentence of the passage that has one of the claim's names, or no name at all."""
    mine = [name for name in _names(claim) if _within(name, passage) and not name.isdigit()]
    if not mine:
        return ""
    for number in sorted({number for number, _ in _amounts(claim)}):
        if any(re.search(rf"(?<!\w){re.escape(number)}(?!\w)", name) for name in mine):
            continue
        bearing = [told for told in sentences(passage) if number in {n for n, _ in _amounts(told)}]
        if bearing and not any(_within(name, told) for told in bearing for name in mine) and all(map(_names, bearing)):
            return f"the passage says {number} of something else"
    return ""


def _within(name: str, text: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None


def negation(claim: str, passage: str) -> str:
    """The claim says no where the nearest sentence of the passage does, and only there."""
    mine = set(content(claim))
    scored = [
        (len(mine & set(content(sentence))) / (1 + len(set(content(sentence)) | mine)), sentence)
        for sentence in sentences(passage)
    ]
    nearest = max(scored, default=(0.0, ""))[1]
    if bool(_NEGATION.search(claim)) == bool(_NEGATION.search(nearest)):
        return ""
    return "it denies what the passage affirms" if _NEGATION.search(claim) else "it affirms what the passage denies"


def coverage(claim: str, passage: str) -> str:
    """Most content words of the claim stand together, in one sentence of the passage or in two that follow each other."""
    mine, told = set(content(claim)), [set(content(sentence)) for sentence in sentences(passage)]
    missing = sorted(mine - set().union(*told))
    if len(missing) > (1 - COVERED) * len(mine) or not mine:
        return f"too much of it is not in the passage: {', '.join(missing[:6])}"
    pairs = [one | other for one, other in zip(told, [*told[1:], set()], strict=True)]
    apart = min((sorted(mine - pair) for pair in pairs), key=len, default=[])
    if len(apart) > (1 - TOGETHER) * len(mine):
        return f"it joins words that stand apart in the passage: {', '.join(apart[:6])}"
    return ""


# Each check by its name, with what its fault means.
_CHECKS: tuple[tuple[str, Kind, Rule], ...] = (
    ("numbers", "not_in_passage", numbers),
    ("names", "not_in_passage", names),
    ("words", "not_in_passage", coverage),
    ("bearers", "contradicted", bearers),
    ("denial", "contradicted", negation),
)
