"""What a claim rests on: the words of claim and passage in one form, and the sentences of the passage that have them."""

from __future__ import annotations

import re

from functions.prose import content, sentences

NUMBER = re.compile(r"(?<![\w.])(?<![A-Za-z]-)[-+−]?\d[\d,]*(?:\.\d+)?(?:\^[-−]?\d+(?:\.\d+)?)?(?![\w^])")
_MEASURED = re.compile(rf"{NUMBER.pattern}(?:\s*(?:%|(?:km|kg|cm|mm|ms|m|g|s|kB|MB|GB)\b))?")
# Words that any statement may be made with, and those that other checks judge: whether a passage has them says nothing.
_LIGHT = frozenset(
    content(
        "cannot nothing never none less least fewer fewest half times"
        " take taken make need require suffice mean give still together go come put become became around nearly roughly"
    )
)
_UN = ("un", "in", "im")  # the denial in such a word is another check's
_ROOT = 5  # letters that two forms of one word share at least
_ADDED = 2  # words of a claim that a further sentence has, for the claim to rest on it as well


def meant(text: str) -> list[str]:
    """The words that carry a text's meaning, in order; numbers and their units have checks of their own."""
    return [word for word in content(_MEASURED.sub(" ", text)) if word not in _LIGHT]


def meaning(text: str) -> set[str]:
    return set(meant(text))


def akin(word: str, others: set[str]) -> bool:
    """Whether a word, or another form of it, is among others: `standardize` is akin to `standardization`."""
    if word in others or (word.startswith(_UN) and len(word) > _ROOT + 2 and akin(word[2:], others)):
        return True
    root = word[: max(_ROOT, len(word) - 4)]
    return len(word) >= _ROOT and word.isalpha() and any(other.startswith(root) for other in others)


def shared(mine: set[str], others: set[str]) -> set[str]:
    return {word for word in mine if akin(word, others)}


def nearest(claim: str, passage: str) -> str:
    """The sentence of a passage that has most of a claim's words, and few besides."""
    mine = set(content(claim))

    def likeness(sentence: str) -> float:
        told = set(content(sentence))
        return len(shared(mine, told)) / (1 + len(told | mine))

    return max(sentences(passage), key=likeness, default="")


def resting(claim: str, passage: str) -> list[str]:
    """The sentences that a claim is made of: the nearest, and others that have words of it which those before lack."""
    found, left = [nearest(claim, passage)], meaning(claim)
    rest = [sentence for sentence in sentences(passage) if sentence != found[0]]
    while True:
        left -= shared(left, meaning(found[-1]))
        added = max(rest, key=lambda sentence: len(shared(left, meaning(sentence))), default="")
        if len(shared(left, meaning(added))) < _ADDED:
            return found
        rest.remove(added)
        found.append(added)


def within(name: str, text: str) -> bool:
    """Whether a text has a name, whatever its case, as words of their own."""
    return re.search(rf"(?<!\w){re.escape(name)}(?!\w)", text, re.IGNORECASE) is not None
