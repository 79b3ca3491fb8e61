"""Finding the passages that bear on a question, by BM25. A collection never changes, so its index is made once a process."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import log
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from functions.prose import content, likeness
from functions.research_assistant.documents import Document, documents
from functions.research_assistant.passages import Found, passages
from schemas import Passage, Unread

if TYPE_CHECKING:
    from eventing.agent import Bucket

PER_DOCUMENT = 3  # of the passages for one question
SAME = 0.8  # passages that share more of their content words say the same
WEAK = 0.25  # of the best score; what scores less does not bear on the question
BEYOND = 3  # times that a word counts which a question has beyond its topic
BEARING = 0.25  # of a question's words, by weight, must be in a passage; words that the collection lacks weigh most
KEPT = 4  # collections in memory
# What questions are made of, whatever they are about; a passage that shares only such words has no bearing on them.
_ASKING = """
answer apply bring call case cause change come compare consequence current describe different example exist explain
fact figure find follow get give given go good happen help important interest involve issue keep kind know known large
main make many matter mean meet method name need new number open part people place plan planned play point possible
practice problem question reason role say show side state take tell thing think time topic type understand use want
way work world
"""
_OF_QUESTIONS = frozenset(content(_ASKING))


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
        """Up to `count` passages, the best first; what a question asks beyond its topic counts more."""
        asked = _asked(question) or content(question)
        asked += [word for word in asked if word not in set(content(topic))] * (BEYOND - 1)
        if not self._words or not asked:
            return []
        scores = self._index.get_scores(asked)
        order = sorted(range(len(self.found)), key=lambda n: (-scores[n], n))
        floor = scores[order[-1]]  # BM25Plus gives every text a score, even one that shares no word
        least = floor + WEAK * (scores[order[0]] - floor)
        bearing = [n for n in order if scores[n] >= least and self._shared(set(asked), n) >= BEARING]
        return _spread([self.found[n].passage for n in bearing], count)

    def _shared(self, asked: set[str], n: int) -> float:
        weights = {word: log(1 + len(self.found) / (1 + self._frequency[word])) for word in asked if word.isalnum()}
        return sum(weights[word] for word in weights.keys() & set(self._words[n])) / sum(weights.values())


def _asked(question: str) -> list[str]:
    return [word for word in content(question) if word not in _OF_QUESTIONS]


def _spread(ranked: Sequence[Passage], count: int) -> list[Passage]:
    """The first `count` that say different things, not too many from one document."""
    chosen: list[Passage] = []
    taken: Counter[str] = Counter()
    for passage in ranked:
        fresh = all(likeness(passage.text, other.text) < SAME for other in chosen)
        if len(chosen) < count and fresh and taken[passage.source.id] < PER_DOCUMENT:
            chosen.append(passage)
            taken[passage.source.id] += 1
    return chosen


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
