"""Splices: the end of a claim copies a sentence of the passage, and its beginning comes from another."""

from __future__ import annotations

import re

from functions.prose import sentences, words
from functions.validator.resting import meaning, shared

FEWEST_WORDS = 3  # of an end that counts as copied
_LEANING = re.compile(r"(?:It|Its|They|Their|He|She|This|These|That|Those|Such|Both)\b")


def splices(claim: str, passage: str) -> str:
    """What a sentence of the passage says of one thing is not told of another."""
    mine = words(claim)
    for told in sentences(passage):
        length = _common_end(mine, words(told))
        if length < FEWEST_WORDS or length == len(mine) or _LEANING.match(told):
            continue
        head = meaning(" ".join(mine[:-length]))
        if head and not shared(head, meaning(told)) and shared(head, meaning(passage)) == head:
            return f"the passage says it of something else than {' '.join(mine[:-length][:6])}"
    return ""


def _common_end(one: list[str], other: list[str]) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
