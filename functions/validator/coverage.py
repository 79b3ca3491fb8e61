"""Coverage: all along a claim the passage speaks of what the claim speaks of, and in one place."""

from __future__ import annotations

from itertools import groupby

from functions.prose import sentences
from functions.validator.resting import meaning, meant, shared

COVERED = 1 / 3  # of a claim's words must stand in its passage: the others may be other words for the same
RUN = 5  # words one after the other that the passage does not have tell what it does not
TOGETHER = 0.6  # of the words that it has must stand in one place of it


def coverage(claim: str, passage: str) -> str:
    """Enough words stand in the passage, all along the claim, and most of them in one sentence or two neighbours."""
    mine, told = meaning(claim), [meaning(sentence) for sentence in sentences(passage)]
    found = shared(mine, set().union(*told))
    if not found or len(found) < COVERED * len(mine):
        return f"too much of it is not in the passage: {', '.join(sorted(mine - found)[:6])}"
    runs = [list(run) for known, run in groupby(meant(claim), key=found.__contains__) if not known]
    if len(longest := max(runs, key=len, default=[])) >= RUN:
        return f"it adds what is not in the passage: {', '.join(longest[:6])}"
    pairs = [one | other for one, other in zip(told, [*told[1:], set()], strict=True)]
    apart = min((sorted(found - shared(found, pair)) for pair in pairs), key=len, default=[])
    if len(apart) > (1 - TOGETHER) * len(found):
        return f"it joins words that stand apart in the passage: {', '.join(apart[:6])}"
    return ""
