"""Plain text as agents need it: cleaned, cut into sentences, reduced to its content words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from eventing.harmless import plain as plain

_SENTENCE_END = re.compile(r"(?<![.!?])[.!?]++[\"'”’)\]]*+(?=\s++[\"'“‘(\[$]?[A-Z0-9À-ÞΑ-ΩА-Я])|[。！？]")
_ABBREVIATION = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|vs|cf|e\.g|i\.e|al|approx|ca|No|Nos|Fig|Figs|Eq|Sec|Vol|pp?|Jan|Feb|Mar|Apr|Jun|Jul"
    r"|Aug|Sept?|Oct|Nov|Dec|U\.S|U\.K))$"
)
# A capital letter and a full stop: an initial before a name, or the name of a quantity at a sentence's end (`mod N.`).
_BEFORE_A_NAME = frozenset(["after", "and", "as", "by", "for", "from", "in", "of", "or", "to", "with"])
_WORD = re.compile(r"(?<![\w.-])\d{1,3}(?:,\d{3})++(?:\.\d++)?(?!\w)|[^\W_]+(?:[-'’.][^\W_]+)*")
# What chat templates and markup are made of; a text cannot open or close those of a prompt without them.
_DELIMITERS = str.maketrans({"<": "‹", ">": "›", "[": "(", "]": ")", "`": "'"})
_STOP_WORDS = """
a about above after again all also although am an and any are as at be because been before being below between both
but by can could did do does doing down during each either etc few for from further had has have having he her here
hers him his how however i if in into is it its itself just may me might more most much must my neither no nor not now
of off often on once one only or other our out over own per same shall she should since so some such than that the
their them then there these they this those through thus to too under until up upon us very was we were what when
where whether which while who whom whose why will with within without would yet you your according called using used
use include includes including
"""
_STOP = frozenset(_STOP_WORDS.split())
_ENDINGS = (
    ("ization", ""),
    ("isation", ""),
    ("ies", "y"),
    ("ied", "y"),
    ("ing", ""),
    ("ed", ""),
    ("es", ""),
    ("ly", ""),
    ("s", ""),
    ("e", ""),
)


def spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each sentence begins and ends."""
    start = 0
    for match in _SENTENCE_END.finditer(text):
        if match[0].startswith(".") and _abbreviates(text, start, match.start()):
            continue
        yield start, match.end()
        start = match.end() + len(text[match.end() :]) - len(text[match.end() :].lstrip())
    if text[start:].strip():
        yield start, len(text.rstrip())


def _abbreviates(text: str, start: int, stop: int) -> bool:
    """Whether a full stop belongs to an abbreviation or an initial and ends no sentence."""
    short = _ABBREVIATION.search(text, max(start, stop - 8), stop)
    if not short or stop - short.start() > 1:
        return bool(short)
    following = _WORD.search(text, stop, stop + 30)
    if following and len(following[0]) > 1 and following[0].lower() in _STOP:
        return False
    before = text[max(start, short.start() - 30) : short.start()].split()[-1:]
    return not (before and before[0].isalpha() and before[0].islower() and before[0] not in _BEFORE_A_NAME)


def sentences(text: str) -> list[str]:
    return [text[start:end].strip() for start, end in spans(text)]


def clipped(text: str, limit: int) -> str:
    """Text of at most `limit` characters, cut between words."""
    return text if len(text) <= limit else text[: limit - 1].rsplit(" ", 1)[0].rstrip(" ,;:") + "…"


def shown(text: str, limit: int) -> str:
    """Text of a stranger as a prompt may hold it: on one line, cut, without delimiters."""
    return clipped(plain(text).translate(_DELIMITERS), limit)


def words(text: str) -> list[str]:
    """The words in lower case; `ML-KEM-768` is one, and so is `3,293`."""
    return [word.lower() for word in _WORD.findall(text)]


def stem(word: str) -> str:
    """A word without its commonest English endings: enough to bring `sizes` and `size` together."""
    if len(word) > 3 and word.isalpha():
        for ending, put in _ENDINGS:
            if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
                return word[: -len(ending)] + put
    return word


def content(text: str) -> list[str]:
    """Stems of the words that carry meaning, in order; a name like `ML-KEM-768` counts as itself and as its pieces.

    `3,293` and `3293` are the same.
    """
    found: list[str] = []
    for word in (word.replace(",", "") for word in _WORD.findall(text)):
        pieces = [piece for piece in re.split(r"[-'’.]", word.lower()) if piece]
        if len(pieces) > 1 and any(character.isupper() or character.isdigit() for character in word[1:]):
            found.append(word.lower())
        found += [stem(piece) for piece in pieces if piece not in _STOP and (len(piece) > 1 or piece.isdigit())]
    return found


def likeness(one: str, other: str) -> float:
    """Shared share of two texts' content words, from 0 to 1."""
    a, b = _meant(one), _meant(other)
    return len(a & b) / len(a | b) if a and b else 0.0


@lru_cache(maxsize=512)
def _meant(text: str) -> frozenset[str]:
    """A text is compared with many others."""
    return frozenset(content(text))
