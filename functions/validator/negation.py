"""Denial: the claim says no where the passage does, and only there."""

from __future__ import annotations

import re

from functions.prose import content
from functions.validator.resting import akin, nearest

_NO = re.compile(
    r"\b(?:not(?! (?:only|just|merely|enough)\b)|no(?! (?:more|less|fewer|later|earlier|longer) than\b)|never|none|neither"
    r"|nor|cannot|without|\w+n['’]t|fail(?:s|ed)? to|unable to|forbid(?:s|den)?|lack(?:s|ed)?|prevent(?:s|ed)?|rather than"
    r"|instead of)\b",
    re.IGNORECASE,
)
# A denial without a word of denial: what is hidden from somebody is what they do not learn.
_VEILED = re.compile(
    r"\b(?:hid(?:es?|den)|conceal(?:s|ed)?|avoid(?:s|ed)?|refus(?:es?|ed)|withh(?:olds?|eld)|discard(?:s|ed)?"
    r"|exclud(?:es?|ed)|escap(?:es?|ed)|spar(?:es?|ed)|resist(?:s|ed)?|(?:end|stop)(?:s|ped|ed)? before|intact|untouched"
    r"|unpublished)\b",
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
    """The claim denies something if the nearest sentence of the passage does."""
    told = nearest(claim, passage)
    mine, theirs = denies(claim, told), denies(told, claim)
    denying, other = (claim, told) if mine else (told, claim)
    if mine == theirs or (_VEILED.search(other) and not _VEILED.search(denying)):
        return ""
    return "it denies what the passage affirms" if mine else "it affirms what the passage denies"
