"""The words of a search: those that a question asks by, those that answers to its kind use, those that stand beside them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from functions.prose import content, words

AKIN = 0.5  # what the most telling word of the first round's passages counts; the others less
MOST_AKIN = 10
FIGURE = 0.25  # what each further figure counts where a question asks for figures
ROOT = 5  # letters of a word that others may be formed from
LIKELY = 0.5  # what a word counts that answers are likely to use, beside one that is asked
# What questions are made of, whatever they are about; a passage that shares only such words has no bearing on them.
_ASKING = """
answer apply bear bring call case cause change come compare consequence current describe different example exception exist
explain fact figure find follow get give given go good happen help important interest involve issue keep kind know known
large main make many matter mean meet method name need new number objection open part people place plan planned play point
possible practice problem purpose question ready reason role say show side speed state take tell thing think time topic type
understand uses want way work world
"""
_OF_QUESTIONS = frozenset(content(_ASKING))
# What a question asks for -> what its answers are likely to speak of, in any field.
_KINDS = {
    "risk danger weakness threat problem": "attack break danger exploit fail flaw leak risk steal threat vulnerable weak",
    "work method function": "algorithm base combine compute consist method process produce step",
    "important matter reason why": "because danger need protect reason secure threat until",
    "uses user ready adopt who": "adopt browser default deploy enable implement migrate release require support",
    "plan planned when": "deadline date finish goal migrate plan recommend require roadmap start transition",
    "figure size cost speed large many much long": "average byte cost hour million minute number percent second size",
    "well effective effect efficacy protect fall reduce": "efficacy number percent reduce",
    "limit exception objection": "although cannot drawback except exception however limit only",
}
# A figure says these without the word: `1184 bytes` is a size.
_SAID_BY_A_FIGURE = frozenset(content("amount figure number size"))
_COUNT = "number"  # the word by which an answer in figures is known
_FIGURES_ASKED = re.compile(
    r"\bhow (?:many|much|large|big|small|long|far|old|fast|quickly|often|high|low|heavy|well)\b"
    r"|\b(?:what|which) (?:[\w-]+ )?(?:value|share|rate|age|amount|size|number|percentage|distance|figure)s?\b",
    re.IGNORECASE,
)
_DATES_ASKED = re.compile(
    r"(?:^|, (?:and )?)when\b|\b(?:by|since|until|till|from) when\b|\bhow soon\b"
    r"|\b(?:what|which) (?:year|month|day|date|deadline)s?\b",
    re.IGNORECASE,
)
_MEANT = {asked: content(meant) for kind, meant in _KINDS.items() for asked in (*content(kind), *kind.split())}


def asked(question: str) -> dict[str, float]:
    """The words that say what a question is about, each with what it counts.

    The pieces of a compound share the weight of one word: `quantum-resistant` is as much as `cryptography`, and a text
    that says `post-quantum` has half of it.
    """
    found: dict[str, float] = {}
    for word in words(question):
        pieces = [piece for piece in content(word) if piece not in _OF_QUESTIONS]
        compound = "-" in word and len(pieces) > 1 and word.replace("-", "").isalpha()
        for piece in pieces:
            found[piece] = max(found.get(piece, 0.0), 1 / len(pieces) if compound else 1.0)
    return found or dict.fromkeys(content(question), 1.0)


def telling(question: str) -> list[str]:
    """The words, as they are written, that say what a question is about: what a search is given."""
    return list(dict.fromkeys(word for word in words(question) if set(content(word)) - _OF_QUESTIONS))


def meant(question: str) -> list[str]:
    """Words that answers to a question of this kind are likely to use."""
    found = [*content(question), *question.lower().split()[:3]]
    return list(dict.fromkeys(word for kind in found for word in _MEANT.get(kind, ())))


def figures_wanted(question: str) -> bool:
    """Whether answers to a question are known by their figures."""
    return _COUNT in meant(question) or bool(_FIGURES_ASKED.search(question))


def dates_wanted(question: str) -> bool:
    """Whether answers to a question are known by their dates."""
    return bool(_DATES_ASKED.search(question))


def bearing(question: str, text: str) -> float:
    """How much of what a question asks a text has: its words, and less for words and figures that answers to it use."""
    there, likely = set(content(text)), set(meant(question))
    figures = figures_wanted(question) and any(word[0].isdigit() for word in there)
    return sum(had(question, there).values()) + LIKELY * (len(there & likely - set(asked(question))) + figures)


def had(question: str, there: set[str]) -> dict[str, float]:
    """What a question asks by that is among other words, in whichever form: `migrated` is had where `migration` is."""
    unsaid = _SAID_BY_A_FIGURE if figures_wanted(question) else frozenset[str]()
    words = {word: weight for word, weight in asked(question).items() if word not in unsaid}
    return {word: weight for word, weight in words.items() if word in there or any(_formed(word, o) for o in there)}


def _formed(one: str, other: str) -> bool:
    """Whether one of two words is the other with an ending."""
    short, long = sorted((one, other), key=len)
    return len(short) >= ROOT and short.isalpha() and long.startswith(short)


def akin(passages: Sequence[Sequence[str]], known: set[str], rarity: Callable[[str], float]) -> dict[str, float]:
    """The words that mark passages which were found: more than one has them, and the collection at large has not."""
    spread = Counter(word for passage in passages for word in set(passage))
    telling = {
        word: times * rarity(word) for word, times in spread.items() if times > 1 and word not in known and word.isalpha()
    }
    best = sorted(telling, key=lambda word: (-telling[word], word))[:MOST_AKIN]
    most = max(telling.values(), default=1.0)
    return {word: AKIN * telling[word] / most for word in best}
