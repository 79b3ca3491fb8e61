"""Quotations: what stands in quotation marks, or is marked as quoted, is in the passage word for word."""

from __future__ import annotations

import re

from functions.prose import content, plain

_QUOTED = re.compile(r"[\"“”„«]([^\"“”„«»]{2,})[\"“”»]")
FEWEST_WORDS = 3  # a shorter one may set a word apart, and quotes nobody


def whole(claim: str, passage: str) -> str:
    """A claim that is marked as a quotation."""
    found = plain(claim) in plain(passage)
    return "" if found and content(claim) else "it is marked as a quotation and is not in the passage word for word"


def quotations(claim: str, passage: str) -> str:
    """What a claim quotes within itself."""
    told = _even(passage)
    for match in _QUOTED.finditer(claim):
        said = _even(match[1]).strip(" .,;:!?")
        if len(said.split()) >= FEWEST_WORDS and said not in told:
            return "what it quotes is not in the passage word for word"
    return ""


def _even(text: str) -> str:
    return plain(text).replace("’", "'").replace("‘", "'").lower()
