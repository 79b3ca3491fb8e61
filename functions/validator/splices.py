"""Splices: the end of a claim copies a sentence of the passage, and its beginning comes from another."""

from __future__ import annotations

import re

from functions.prose import sentences, words
from functions.validator.names import named
from functions.validator.resting import meaning, shared

FEWEST_WORDS = 3  # of an end that counts as copied
COPIED = 5  # of one that shows what sentence a claim was made from
_LEANING = re.compile(r"(?:It|Its|They|Their|He|She|This|These|That|Those|Such|Both)\b")


def splices(claim: str, passage: str) -> str:
    """What a sentence of the passage says of one thing is not told of another."""
    mine = words(claim)
    for told in sentences(passage):
        theirs = words(told)
        length = _common_end(mine, theirs)
        if length < FEWEST_WORDS or length == len(mine) or _LEANING.match(told):
            continue
        head, beginning = " ".join(mine[:-length]), " ".join(theirs[:-length])
        copied = length >= COPIED
        if _of_another(head, beginning if copied else "", told, passage) or (copied and _renamed(claim, told, length)):
            return f"the passage says it of something else than {' '.join(mine[:-length][:6])}"
    return ""


def _of_another(head: str, beginning: str, told: str, passage: str) -> bool:
    """Whether the beginning of a claim is from elsewhere in the passage than the end that it copies."""
    said, theirs = meaning(head), meaning(beginning)
    if not said or shared(said, meaning(passage)) != said:
        return False
    return not shared(said, meaning(told)) or bool(theirs and not shared(said, theirs) and not shared(theirs, said))


def _renamed(claim: str, told: str, length: int) -> bool:
    """Whether a claim puts another name, to the letter, before the words that it copies."""
    mine, others = _names(claim, length), _names(told, length)
    return bool(mine and others and not mine & others)


def _names(text: str, end: int) -> set[str]:
    """The names in a text before its last words."""
    found = words(text)[:-end]
    return {name for name in named(text) if name in found}


def _common_end(one: list[str], other: list[str]) -> int:
    pairs = zip(reversed(one), reversed(other), strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
