"""Numbers that are written as words: `twenty-five`, `a hundred and twenty`, `two and a half`, `third`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from functions.validator.units import MULTIPLIERS, NAMES

_SMALL = (
    "two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen"
    " nineteen"
)
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
# `First` and `second` are left out: they put things in order more often than they count.
_ORDINALS = "third fourth fifth sixth seventh eighth ninth tenth"
_VALUES = {word: n for n, word in enumerate(_SMALL.split(), 2)} | {word: 10 * n for n, word in enumerate(_TENS.split(), 2)}
_VALUES |= {word: n for n, word in enumerate(_ORDINALS.split(), 3)}
COUNTED = "|".join(sorted(_VALUES, key=len, reverse=True))
_WITHIN = {"one": 1, "first": 1, "second": 2}  # these count only in a longer number
_DIGIT = rf"(?:one|first|second|{'|'.join((_SMALL.split())[:8])}|{'|'.join(_ORDINALS.split()[:-1])})"
_BELOW_100 = rf"(?:(?:{'|'.join(_TENS.split())})(?:[- ]{_DIGIT})?|{COUNTED})"
_GREAT = {"hundred": 100, "dozen": 12}
_WORDS = re.compile(
    rf"\b(?:(?:{_BELOW_100}|an?|one) (?:hundred|dozen)(?:(?: and)? {_BELOW_100})?|(?:{_BELOW_100}|one) and a half"
    rf"|half an?(?= (?:{NAMES}|{'|'.join(MULTIPLIERS)})\b)|{_BELOW_100})\b",
    re.IGNORECASE,
)


def spelled(text: str) -> Iterator[tuple[re.Match[str], str]]:
    """Each number in words, with its value as figures would write it."""
    for match in _WORDS.finditer(text):
        yield match, f"{_value(match[0].lower()):g}"


def _value(said: str) -> float:
    value = 0.0
    for word in re.split(r"[- ]", said):
        if word in _GREAT:
            value = (value or 1) * _GREAT[word]
        else:
            value += 0.5 if word == "half" else _VALUES.get(word, _WITHIN.get(word, 0))
    return value
