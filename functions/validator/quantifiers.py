"""How much is claimed: all, always and only are said only where the passage says them."""

from __future__ import annotations

import re

from functions.validator.resting import resting
from functions.validator.spelled import COUNTED

_KINDS = (
    (
        re.compile(
            rf"(?<!not )\b(?:all|every(?! (?:\d|{COUNTED}))|each(?! other)|always|any|whole|entire(?:ly)?|constant(?:ly)?"
            r"|universal(?:ly)?|everywhere|both)\b",
            re.I,
        ),
        re.compile(
            r"\b(?:every|each|always|any|all|whole|entire(?:ly)?|constant(?:ly)?|universal(?:ly)?|both|no|none|the)\b", re.I
        ),
    ),
    (
        re.compile(
            rf"\b(?:only(?! (?:about |some |a )?(?:\d|{COUNTED}|one of))|alone|solely|exclusively|nothing but)\b", re.I
        ),
        re.compile(r"\b(?:only|alone|solely|exclusive(?:ly)?|nothing|just|one|single|no other)\b", re.I),
    ),
    (
        re.compile(r"\b(?:certain(?:ly)?|guarantee[sd]?|prove[sdn]?|inevitabl[ey]|undoubtedly|definitely)\b", re.I),
        re.compile(r"\b(?:certain(?:ly)?|guarantee[sd]?|pro(?:ve[sdn]?|of)|inevitabl[ey]|must)\b", re.I),
    ),
)
_SOFT = re.compile(r"\b(?:some|most|many|several|often|usually|normally|sometimes|may|might|can|could)\b", re.I)


def quantifiers(claim: str, passage: str) -> str:
    """A word that makes a claim general stands in a sentence that it rests on, or the nearest of these has the like."""
    near = resting(claim, passage)
    told = near[0]
    for strong, alike in _KINDS:
        if not (word := strong.search(claim)):
            continue
        guarded = _SOFT.search(told) and not _SOFT.search(claim)
        here = any(map(strong.search, near)) or (not guarded and alike.search(told))
        if not here:
            return f"it says {word[0].lower()}, which the passage does not"
    return ""
