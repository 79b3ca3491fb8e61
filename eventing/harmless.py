"""Text of models, documents and strangers, made harmless for wherever people read it: a page, a mail, a terminal."""

from __future__ import annotations

import unicodedata


def plain(text: str) -> str:
    """Text on one line, without control, format (zero-width, bidirectional), private and unassigned characters."""
    return " ".join("".join(_harmless(character) for character in text).split())


def printable(text: str) -> str:
    """Text without such characters, its lines and spaces kept."""
    return "".join(c if c in "\n\t" else _harmless(c) for c in text)


def _harmless(character: str) -> str:
    if character.isspace():
        return " "
    return "" if unicodedata.category(character)[0] == "C" else character
