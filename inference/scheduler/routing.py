"""Which of several servers gets a call: the least busy one, unless another has the prompt's beginning in its cache.

A prompt is cut into blocks; a server that was sent the same first blocks has them in its prefix cache. The server with the
longest common beginning is preferred as long as it is not much busier than the least busy one. Pure: no clock, no HTTP.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

BLOCK = 256  # characters: a few of vLLM's blocks of 16 tokens
MOST_BLOCKS = 64
REMEMBERED = 8192  # blocks of one server
WORTH = 2  # blocks in common that are worth waiting behind others for


def blocks(prompt: str) -> tuple[bytes, ...]:
    """Digests of the prompt's beginnings, one, two, three ... blocks long."""
    found, digest = [], hashlib.blake2b(digest_size=8)
    for start in range(0, min(len(prompt) - len(prompt) % BLOCK, BLOCK * MOST_BLOCKS), BLOCK):
        digest.update(prompt[start : start + BLOCK].encode("utf-8", "replace"))
        found.append(digest.copy().digest())
    return tuple(found)


class Prefixes:
    """The beginnings that one server has seen, the latest ones."""

    def __init__(self, most: int = REMEMBERED) -> None:
        self._seen: OrderedDict[bytes, None] = OrderedDict()
        self._most = most

    def common(self, prompt: Sequence[bytes]) -> int:
        """How many blocks of the prompt's beginning it has seen."""
        return sum(1 for _ in self._known(prompt))

    def _known(self, prompt: Sequence[bytes]) -> Iterator[bytes]:
        for block in prompt:
            if block not in self._seen:
                return
            yield block

    def add(self, prompt: Sequence[bytes]) -> None:
        for block in prompt:
            self._seen[block] = None
            self._seen.move_to_end(block)
        while len(self._seen) > self._most:
            self._seen.popitem(last=False)

    def clear(self) -> None:
        """Forget all: the server was started anew."""
        self._seen.clear()


class Candidate(Protocol):
    """A server that could take the call now."""

    prefixes: Prefixes

    @property
    def outstanding(self) -> int: ...

    @property
    def granted(self) -> int: ...

    @property
    def slots(self) -> int: ...


C = TypeVar("C", bound=Candidate)


def choose(candidates: Sequence[C], prompt: Sequence[bytes]) -> C:
    """The server for a call, of those that have room (one at least)."""
    idlest = min(candidates, key=lambda one: (_load(one), one.granted))
    if len(candidates) == 1 or not prompt:
        return idlest
    closest = max(candidates, key=lambda one: (one.prefixes.common(prompt), -_load(one)))
    gained = closest.prefixes.common(prompt) - idlest.prefixes.common(prompt)
    near = closest.outstanding - idlest.outstanding <= max(2, closest.slots // 4)
    return closest if gained >= WORTH and near else idlest


def _load(one: Candidate) -> float:
    return one.outstanding / one.slots
