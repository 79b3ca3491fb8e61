"""Coverage: the passage speaks of what the claim speaks of, and of it in one place."""

from __future__ import annotations

from functions.prose import sentences
from functions.validator.resting import meaning, shared

COVERED = 0.4  # of a claim's words must stand in its passage: the others may be other words for the same
TOGETHER = 0.6  # and so many of these in one place of it


def coverage(claim: str, passage: str) -> str:
    """Enough words stand in the passage, and most of those in one sentence of it or in two that follow each other."""
    mine, told = meaning(claim), [meaning(sentence) for sentence in sentences(passage)]
    found = shared(mine, set().union(*told))
    if not found or len(found) < COVERED * len(mine):
        return f"too much of it is not in the passage: {', '.join(sorted(mine - found)[:6])}"
    pairs = [one | other for one, other in zip(told, [*told[1:], set()], strict=True)]
    apart = min((sorted(found - shared(found, pair)) for pair in pairs), key=len, default=[])
    if len(apart) > (1 - TOGETHER) * len(found):
        return f"it joins words that stand apart in the passage: {', '.join(apart[:6])}"
    return ""
