"""What a request's model calls say, as it is said: for whoever watches the request. Pure but for the waiting.

A cursor says how much of each call was seen: for the calls in the order in which they began, characters, how often an answer
was given up, and whether its end was seen, `120d.64r1.0`. It is made of what was said alone, so it holds across a restart
of anybody.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any, NamedTuple

from inference.accounts import SEEN
from inference.scheduler.book import Book, KnownCall, KnownRequest
from inference.scheduler.errors import BadCallError

_SEEN = re.compile(SEEN)


class Seen(NamedTuple):
    """How much of a call was seen."""

    characters: int = 0
    restarts: int = 0
    done: bool = False

    def __str__(self) -> str:
        return f"{self.characters}{f'r{self.restarts}' if self.restarts else ''}{'d' if self.done else ''}"


def parsed(cursor: str) -> list[Seen]:
    """What a cursor says of each call.

    Raises:
        BadCallError: it is none.
    """
    found = [_SEEN.fullmatch(part) for part in cursor.split(".")] if cursor else []
    if not all(found) or len(found) > 10_000:
        raise BadCallError(f"the cursor {cursor[:40]!r} is none of ours; begin without one")
    return [Seen(int(part[1]), int(part[2] or 0), bool(part[3])) for part in found if part]


def said_since(request: KnownRequest, seen: list[Seen]) -> tuple[str, list[dict[str, Any]]]:
    """The new cursor, and what each call said beyond the old one; each piece tells the cursor of whoever stops there."""
    calls = list(request.calls.values())
    cursor = [str(seen[number] if number < len(seen) else Seen()) for number in range(len(calls))]
    news = []
    for number, call in enumerate(calls):
        before, now = seen[number] if number < len(seen) else Seen(), _now(call)
        cursor[number] = str(now)
        at = 0 if now.restarts != before.restarts else min(before.characters, now.characters)
        if now.characters > at or now.done > before.done or (before.characters and now.restarts != before.restarts):
            piece = {"call": call.key, "at": at, "text": call.text[at:], "done": now.done}
            news.append({**piece, "cursor": ".".join(cursor)})
    return ".".join(cursor), news


def _now(call: KnownCall) -> Seen:
    return Seen(len(call.text), call.restarts, call.answer is not None)


async def news(book: Book, name: str, after: str, wait_s: float) -> dict[str, Any]:
    """What was said since a cursor, waited for where there is nothing yet; `open` says whether more can come."""
    seen, until = parsed(after), asyncio.get_running_loop().time() + wait_s
    while True:
        request = book.requests.get(name)
        if request is None:
            return {"cursor": after, "calls": [], "open": False}
        cursor, calls = said_since(request, seen)
        left = until - asyncio.get_running_loop().time()
        if calls or left <= 0 or request.over is not None:
            return {"cursor": cursor, "calls": calls, "open": request.over is None}
        try:
            async with asyncio.timeout(left):
                await request.changed.wait()
        except TimeoutError:
            continue
