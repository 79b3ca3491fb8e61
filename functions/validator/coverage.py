"""Coverage: most words of the claim stand in the passage, and together."""

from __future__ import annotations

from functions.prose import sentences
from functions.validator.resting import meaning, shared

COVERED = 0.5  # of a claim's words must stand in its passage
TOGETHER = 0.6  # and so many of them in one place of it


def coverage(claim: str, passage: str, above: str = "") -> str:
    """Most words stand in one sentence of the passage or in two that follow each other; its headings count as well."""
    mine, told = meaning(claim), [meaning(sentence) for sentence in sentences(passage)]
    said = set().union(*told)
    missing = sorted(mine - shared(mine, said | meaning(above)))
    if not shared(mine, said) or len(missing) > (1 - COVERED) * len(mine):
        return f"too much of it is not in the passage: {', '.join(missing[:6])}"
    pairs = [one | other for one, other in zip(told, [*told[1:], set()], strict=True)]
    apart = min((sorted(mine - shared(mine, pair)) for pair in pairs), key=len, default=[])
    if len(apart) > (1 - TOGETHER) * len(mine):
        return f"it joins words that stand apart in the passage: {', '.join(apart[:6])}"
    return ""
