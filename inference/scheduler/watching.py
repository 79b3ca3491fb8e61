"""What a request's model calls say, as it is said: for whoever watches the request. Pure but for the waiting.

A cursor says how much of each call was seen: for the calls in the order in which they began, characters and, where an answer
was given up, how often, `120.64r1.0`. It is made of what was said alone, so it holds across a restart of anybody.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from inference.scheduler.book import Book, KnownRequest
from inference.scheduler.errors import BadCallError

_SEEN = re.compile(r"(\d{1,9})(?:r(\d{1,6}))?")


def parsed(cursor: str) -> list[tuple[int, int]]:
    """Characters and restarts of each call that a cursor names.

    Raises:
        BadCallError: it is none.
    """
    found = [_SEEN.fullmatch(part) for part in cursor.split(".")] if cursor else []
    if not all(found) or len(found) > 10_000:
        raise BadCallError(f"the cursor {cursor[:40]!r} is none of ours; begin without one")
    return [(int(part[1]), int(part[2] or 0)) for part in found if part]


def said_since(request: KnownRequest, seen: list[tuple[int, int]]) -> tuple[str, list[dict[str, Any]]]:
    """The new cursor, and what each call said beyond the old one."""
    cursor, news = [], []
    for number, call in enumerate(request.calls.values()):
        at, restarts = seen[number] if number < len(seen) else (0, 0)
        text, anew = call.text, restarts != call.restarts
        at = 0 if anew else min(at, len(text))
        cursor.append(f"{len(text)}r{call.restarts}" if call.restarts else str(len(text)))
        if len(text) > at or (anew and number < len(seen)):
            news.append({"call": call.key, "at": at, "text": text[at:], "done": call.answer is not None})
    return ".".join(cursor), news


async def news(book: Book, name: str, after: str, wait_s: float) -> dict[str, Any]:
    """What was said since a cursor, waited for where there is nothing yet; `open` says whether more can come."""
    seen, until = parsed(after), asyncio.get_running_loop().time() + wait_s
    while True:
        request = book.requests.get(name)
        if request is None:
            return {"cursor": after, "calls": [], "open": False}
        cursor, calls = said_since(request, seen)
        left = until - asyncio.get_running_loop().time()
        if calls or left <= 0:
            return {"cursor": cursor, "calls": calls, "open": not request.closed}
        try:
            await asyncio.wait_for(request.changed.wait(), left)
        except TimeoutError:
            continue
