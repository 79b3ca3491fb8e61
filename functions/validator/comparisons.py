"""Comparisons: more stays more and before stays before, unless the two sides change places as well."""

from __future__ import annotations

import re

from functions.prose import content
from functions.validator.negation import denies
from functions.validator.numbers import MEASURED
from functions.validator.resting import resting

_OPPOSITES = tuple(
    (frozenset(one.split()), frozenset(other.split()))
    for one, other in (
        ("more", "less fewer"),
        ("most", "least fewest"),
        ("larger bigger greater largest", "smaller smallest"),
        ("higher highest", "lower lowest"),
        ("longer longest lengthened", "shorter shortest shortened"),
        ("faster fastest quicker fast quickly", "slower slowest slow slowly"),
        ("by", "after since"),
        ("before earlier earliest", "after later latest"),
        ("older oldest", "newer newest younger youngest"),
        ("harder hardest difficult", "easier easiest easy"),
        ("stronger strongest", "weaker weakest"),
        ("above over", "below under"),
        (
            "increase increases increased rise rises rose grew grow grows grown",
            "decrease decreases decreased fall fell fallen shrank shrink shrinks shrunk drop drops dropped",
        ),
        ("first", "last"),
        ("maximum", "minimum"),
        ("secure safe", "insecure unsafe"),
        ("cheaper", "dearer costlier"),
        ("heavier", "lighter"),
        ("include includes included", "exclude excludes excluded"),
        ("accept accepts accepted", "reject rejects rejected"),
        ("allow allows allowed", "forbid forbids forbidden"),
    )
)  # fmt: skip
_MORE = frozenset(["more", "most", "larger", "bigger", "greater", "largest", "higher", "highest"])
_LESS = frozenset(["less", "least", "fewer", "fewest", "smaller", "smallest", "lower", "lowest"])
# What stands between the two sides; `less than four weeks` has none.
_PIVOT = re.compile(rf"\b(?:than|before|after)\b(?! (?:about |the )?{MEASURED})", re.IGNORECASE)


def comparisons(claim: str, passage: str) -> str:
    """The claim compares in the direction in which the nearest sentence of the passage does, or another that it rests on."""
    told, *others = resting(claim, passage)
    mine, theirs, elsewhere = _said(claim), _said(told), _said(" ".join(others))
    turned = [
        (sorted(a & mine)[0], sorted(b & theirs)[0])
        for one, other in _OPPOSITES
        for a, b in ((one, other), (other, one))
        if a & mine and b & theirs and not b & mine and not a & (theirs | elsewhere)
    ]
    if _swapped(claim, told):
        back = turned or (mine & _MORE and theirs & _LESS) or (mine & _LESS and theirs & _MORE)
        return "" if back else "it turns the comparison round"
    if not turned or denies(claim, told) != denies(told, claim):
        return ""
    return f"it says {turned[0][0]} where the passage says {turned[0][1]}"


def _said(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower()))


def _swapped(claim: str, told: str) -> bool:
    """Whether the two sides of a comparison have changed places."""
    mine, theirs = _sides(claim), _sides(told)
    if not mine or not theirs:
        return False
    (left, right), (first, second) = mine, theirs
    crossed = len(left & second) + len(right & first)
    return bool(left & second and right & first) or crossed > len(left & first) + len(right & second)


def _sides(text: str) -> tuple[set[str], set[str]] | None:
    pivot = _PIVOT.search(text)
    if not pivot:
        return None
    left, right = set(content(text[: pivot.start()])), set(content(text[pivot.end() :]))
    if not left or not right:
        return None
    return left - right, right - left
