"""Effects: what a process does to the world outside of it. A test that hands one in decides when each takes place, and how.

A fake that takes an `Effect` (`Shelf`) does nothing but through it, so that a process can die before each of its effects
and after it, and each can fail before it has taken place or, worse, after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

from eventing.errors import EventingError, StoreError

T = TypeVar("T")


class Effect(Protocol):
    """Lets `do` take place and gives its value; where the test says so it raises `error` instead, before or after."""

    async def __call__(self, what: str, do: Callable[[], T], error: type[EventingError] = StoreError) -> T: ...


async def at_once(what: str, do: Callable[[], T], error: type[EventingError] = StoreError) -> T:
    """Every effect takes place when it is asked for."""
    return do()
