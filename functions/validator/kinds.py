"""Kinds: that something is a kind of something else is said only where the passage says what it is."""

from __future__ import annotations

import re

from functions.prose import content, sentences
from functions.validator.resting import meaning, shared

_OF = r"(?:types?|kinds?|forms?|sorts?|class(?:es)?|variet(?:y|ies)) of"
_A_KIND = re.compile(
    rf"\b(?:is|are|was|were) (?:an?|one|the)? ?(?:\w+ )?{_OF} ((?:[\w-]+ ?){{1,4}})",
    re.IGNORECASE,
)
_IS = re.compile(
    rf"\b(?:is|are|was|were|as) (?:an?|the|one|another) ((?:[\w-]+ ?){{1,8}})|\b{_OF}",
    re.IGNORECASE,
)


def kinds(claim: str, passage: str) -> str:
    """Where the claim says `is a type of error-correcting code`, a sentence of the passage says that something is one."""
    said = _A_KIND.search(claim)
    if not said or not content(said[1]):
        return ""
    kind = meaning(said[1])
    for told in sentences(passage):
        if any(shared(kind, meaning(found[1] or told)) for found in _IS.finditer(told)):
            return ""
    return f"it says {said[0].strip()}, which the passage does not"
