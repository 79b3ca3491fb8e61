"""Denial: the claim says no where the passage does, and only there."""

from __future__ import annotations

import re

from functions.prose import content
from functions.validator.resting import akin, resting

_NO = re.compile(
    r"\b(?:not(?! (?:only|just|merely|enough)\b)|no(?! (?:more|less|fewer|later|earlier|longer) than\b)|never|none|nothing"
    r"|neither|nor|cannot|without|\w+n['’]t|fail(?:s|ed)? to|unable to|forbid(?:s|den)?|lack(?:s|ed)?|prevent(?:s|ed)?"
    r"|rather than|instead of)\b",
    re.IGNORECASE,
)
# A denial without a word of denial: what is hidden is not learnt, what stays the same does not change.
_VEILED = re.compile(
    r"\b(?:hid(?:es?|den)|conceal(?:s|ed)?|avoid(?:s|ed)?|refus(?:es?|ed)|withh(?:olds?|eld)|discard(?:s|ed)?"
    r"|exclud(?:es?|ed)|escap(?:es?|ed)|spar(?:es?|ed)|resist(?:s|ed)?|(?:end|stop)(?:s|ped|ed)? before|intact"
    r"|un\w{3,}(?:ed|able)|(?:the|stay\w*|remain\w*) (?:same|constant)|no (?:more|less|fewer|later|earlier|longer) than)\b",
    re.IGNORECASE,
)
_PREFIXED = re.compile(r"\b(?:un|in|im|ir|dis|non)-?(\w{4,})", re.IGNORECASE)


def denies(text: str, other: str = "") -> bool:
    """Whether a text denies something; `unbroken` does so beside a text that says `broken`."""
    if _NO.search(text):
        return True
    said = set(content(other))
    return any(akin(root, said) for match in _PREFIXED.finditer(text) for root in content(match[1]))


def negation(claim: str, passage: str) -> str:
    """The claim denies something if the sentences of the passage that it rests on do, and else the nearest does not."""
    near = resting(claim, passage)
    if denies(claim, " ".join(near)):
        told = " ".join(near)
        return "" if denies(told, claim) or _veils(told, claim) else "it denies what the passage affirms"
    told = near[0]
    return "it affirms what the passage denies" if denies(told, claim) and not _veils(claim, told) else ""


def _veils(text: str, denial: str) -> bool:
    """Whether a text says in one word what is denied beside it in two."""
    return bool(_VEILED.search(text)) and not _VEILED.search(denial)
