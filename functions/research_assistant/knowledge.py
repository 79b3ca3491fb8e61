"""What is known of the web: a state that merges, in any order and however often, to the same.

Pages are a grow-only set of their contents' digests. What a search found is a register in which the last writer wins; of
two that wrote at the same moment, the one whose text is greater. Both merges are joins of a semilattice: commutative,
associative, idempotent. So workers need no lock, and none waits for another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta

from functions.research_assistant.sources import Page

FRESH = timedelta(days=7)  # that a search is not made again


@dataclass(frozen=True, order=True)
class Look:
    """What one search found, and when: comparable, so that of any two one is the later."""

    at: str  # RFC 3339, in UTC
    pages: tuple[str, ...]


@dataclass(frozen=True)
class Knowledge:
    """Digests of pages, and the last look for each search."""

    pages: frozenset[str] = frozenset()
    looks: Mapping[str, Look] = field(default_factory=dict)

    def merged(self, other: Knowledge) -> Knowledge:
        names = self.looks.keys() | other.looks.keys()
        looks = {n: max(k.looks[n] for k in (self, other) if n in k.looks) for n in names}
        return Knowledge(self.pages | other.pages, looks)

    def fresh(self, search: str, now: datetime) -> Look | None:
        """The last look for a search, unless it is too long ago."""
        look = self.looks.get(search)
        return look if look and datetime.fromisoformat(look.at) > now - FRESH else None

    def akin(self, words: Iterable[str], most: int) -> list[str]:
        """Pages that searches for some of these words found, those that share most words first."""
        asked = set(words)
        shared: dict[str, int] = {}
        for search, look in self.looks.items():
            count = len(asked & set(search.partition(":")[2].split()))
            for page in look.pages:
                shared[page] = max(count, shared.get(page, 0))
        ranked = sorted((page for page, count in shared.items() if count), key=lambda page: (-shared[page], page))
        return ranked[:most]

    def written(self) -> bytes:
        """The state as JSON, the same bytes for the same state."""
        looks = {name: [look.at, list(look.pages)] for name, look in sorted(self.looks.items())}
        return json.dumps({"pages": sorted(self.pages), "looks": looks}).encode()

    @classmethod
    def read(cls, data: bytes) -> Knowledge:
        """The state in what `written` wrote.

        Raises:
            ValueError: it is something else.
        """
        try:
            told = json.loads(data)
            looks = {str(name): _look(*look) for name, look in told["looks"].items()}
            return cls(frozenset(map(str, told["pages"])), looks)
        except (TypeError, KeyError, AttributeError) as error:
            raise ValueError(f"no knowledge: {error}") from error


def _look(at: str, pages: list[str]) -> Look:
    if datetime.fromisoformat(at).tzinfo is None:
        raise ValueError(f"a time without its zone: {at}")
    return Look(at, tuple(map(str, pages)))


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def search(source: str, words: Iterable[str]) -> str:
    """The name of a search: its source and its words, whatever their order."""
    return f"{source}:{' '.join(sorted(set(words)))}"


def page_written(page: Page) -> bytes:
    return json.dumps(asdict(page), sort_keys=True).encode()


def page_read(data: bytes) -> Page:
    """The page in what `page_written` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        told = json.loads(data)
        return Page(**told | {"pages": tuple(map(int, told["pages"]))})
    except (TypeError, KeyError) as error:
        raise ValueError(f"no page: {error}") from error
