"""Quotations: which sentences of a passage answer a question, with those that they need; nothing else of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from functions.prose import clipped, content, sentences, spans, words
from functions.research_assistant.conflicts import amounts, repeats, times
from functions.research_assistant.expansion import FIGURE, asked, bearing, dates_wanted, figures_wanted, had
from schemas import Claim, Passage

LONGEST = 450  # characters of a quotation of several sentences
FEWEST_WORDS = 5
BESIDE = 0.4  # of what the best quotation tells; what tells less is beside the point
ANOTHER = 0.2  # what one more sentence must add to what is told
ANSWERS = 1.0  # what a date counts where a question asks when, and an amount where it asks how much
LATER = 0.25  # what a quotation must tell more than that of the passage before, to be put before it
_NAME = re.compile(r"(?<=\s)[A-Z][\w/,-]*\w|\b(?=[a-z]*[A-Z\d])(?=[\d-]*[A-Za-z])[\w/-]*\w[A-Z\d][\w/-]*")
_MARKED = re.compile(r"\d.*[A-Za-z]|[A-Za-z].*\d|[A-Z].*[A-Z]")
_IN_MARKS = re.compile(r"[\"“][^\"”]*[\"”]")

# A sentence that leans on the one before it, and says little alone.
LEANING = re.compile(
    r"^(?:it|its|they|their|this|these|that|those|such|he|she|his|her|both|then|also|however|therefore|thus|instead"
    r"|(?:in|by|for|with) their|the (?:same|latter|former|other))\b|\bboth (?!\S+ and\b)"
    r"|\b(?:in|of|for|from|at|to|by|with) (?:these|this|that|the same) \w",
    re.IGNORECASE,
)
_DEFINITE = re.compile(r"(?:The|(?:In|Of|For|From|By|With) the) (?=[a-z])")


def quotations(passages: Iterable[Passage], question: str, topic: str, count: int) -> list[Claim]:
    """What up to `count` passages say on the question, what tells most first; none that is beside the point of the best.

    Nor one that has no name of those that are asked about, where others have one.
    """
    about = [name.split("/")[0].lower() for name in names(question) or _named_before(question, topic)]
    found: list[Claim] = []
    under, texts = dict[str, str](), dict[str, str]()
    for passage in passages:
        under[passage.id], texts[passage.id] = passage.under, passage.text
        quoted = quotation(passage, question, found)
        if quoted and not any(repeats(quoted.text, other.text) for other in found):
            found.append(quoted)
    named = [claim for claim in found if any(name in claim.text.lower() for name in about)] or found
    shares = [_share(question, claim.text, under[claim.passage]) for claim in named]
    kept = [claim for claim, share in zip(named, shares, strict=True) if share >= BESIDE * max(shares)]
    told = {
        claim.text: _worth(question, claim.text, texts[claim.passage].partition(claim.text)[0]) - LATER * place
        for place, claim in enumerate(kept)
    }
    return sorted(kept, key=lambda claim: (not _of_the_kind(question, claim.text), -told[claim.text]))[:count]


def quotation(passage: Passage, question: str, others: Iterable[Claim]) -> Claim | None:
    """What the passage says on the question, word for word; None where each of its sentences was said already.

    The run of sentences that tells most of what is asked, from one on that leans on none before it.
    """
    told, said = passage.text, [other.text for other in others]
    places = [place for place in spans(told) if place[1] - place[0] <= 2 * LONGEST]
    runs = [(a, b) for a in range(len(places)) for b in range(a, len(places)) if _fit(told, places[a : b + 1], said)]
    if not runs:
        cut = clipped(told, LONGEST).rstrip("…")
        return None if any(cut in other for other in said) else Claim(text=cut, passage=passage.id, quoted=True)

    def worth(run: tuple[int, int]) -> float:
        a, b = run
        return _worth(question, told[places[a][0] : places[b][1]], told[: places[a][0]]) - ANOTHER * (b - a)

    a, b = max(runs, key=worth)
    goes_on = (a, b + 1) in runs and LEANING.search(told[slice(*places[b + 1])])
    end = places[b + 1 if goes_on else b][1]
    return Claim(text=told[places[a][0] : end], passage=passage.id, quoted=True)


def _worth(question: str, text: str, before: str) -> float:
    """What a run of sentences tells of what is asked; half of it where the first leans on one `before` that is not there."""
    first = next(iter(sentences(text)), "")
    return _told(question, text) * (0.5 if leans(first, question, before) else 1.0)


def leans(text: str, question: str, before: str = "") -> bool:
    """Whether a sentence speaks of what only another names: `it`, or `the attack` where the question has a name.

    So does `the timeline` where one stands `before` it in the passage.
    """
    if LEANING.search(text):
        return True
    definite = _DEFINITE.match(text)
    if not definite or names(_IN_MARKS.sub("", text)):
        return False
    return bool(names(question)) or set(content(text[definite.end() :])[:1]) <= set(content(before))


def names(text: str) -> set[str]:
    """What is written as a name, but for the first word of a sentence."""
    return set(_NAME.findall(text))


def figures(text: str) -> set[str]:
    """The words of a text that begin with a digit."""
    return {word for word in content(text) if word[0].isdigit()}


def _named_before(question: str, topic: str) -> set[str]:
    """Names that can be nothing else (`R21`, `KyberSlash`) which its topic has before a question: what `it` means there."""
    before, piece, _ = topic.lower().partition(question.lower().rstrip("?. "))
    return {name for name in names(topic[: len(before)]) if _MARKED.search(name)} if piece else set()


def _fit(told: str, places: Sequence[tuple[int, int]], said: Sequence[str]) -> bool:
    """Whether sentences that follow each other may be quoted together: short enough, and none of them quoted before."""
    texts = [told[slice(*place)] for place in places]
    whole = len(places) == 1 or places[-1][1] - places[0][0] <= LONGEST
    long_enough = len(words(told)) < FEWEST_WORDS or len(words(" ".join(texts))) >= FEWEST_WORDS
    return whole and long_enough and not any(text in other for text in texts for other in said)


def _told(question: str, text: str) -> float:
    """How much of what a question asks a text tells; where dates or figures are wanted, each of them counts."""
    new: set[str] | frozenset[str] = set()
    if dates_wanted(question):
        new = times(text) - times(question)
    elif figures_wanted(question):
        new = figures(text) - set(content(question))
    more = FIGURE * max(0, len(new) - 1)
    return bearing(question, text) + sum(_named_in(question, text)) + more + ANSWERS * _of_the_kind(question, text)


def _of_the_kind(question: str, text: str) -> bool:
    """Whether a text has what answers to a question are known by: a date, or an amount, that is not the question's."""
    if dates_wanted(question):
        return bool(times(text) - times(question))
    return figures_wanted(question) and bool(amounts(text) - amounts(question))


def _share(question: str, text: str, under: str) -> float:
    """How much of what is asked a quotation has, with the headings that it stands under."""
    return _asked_in(question, f"{under} {text}") + ANSWERS * _of_the_kind(question, text)


def _asked_in(question: str, text: str) -> float:
    """How many of a question's words a text has, by what they count."""
    return sum(had(question, set(content(text))).values()) + sum(_named_in(question, text))


def _named_in(question: str, text: str) -> list[float]:
    """What the names of a question that a text has count once more."""
    there, named = set(content(text)), {word for name in names(question) for word in content(name)}
    return [weight for word, weight in asked(question).items() if word in named & there]
