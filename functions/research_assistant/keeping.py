"""The knowledge in the bucket: each change an object of its own, created once; many of them compacted into one.

    evidence/pages/<digest>.json   a page, by its content
    evidence/state/<digest>.json   a piece of the state, by its content; the state is all of them merged

Compaction writes the merged state as one piece and only then removes what went into it. A piece is removed only while a
piece that holds all of it is there, so whatever dies wherever, nothing is lost; a reader that misses one lists again.
Of readers that compact the same pieces at once, the one that wrote the merged one removes them; what it leaves, as it
dies, is removed by a later one.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import reduce
from typing import TYPE_CHECKING

from functions.research_assistant.knowledge import Knowledge, digest, page_read, page_written
from functions.research_assistant.sources import Page

if TYPE_CHECKING:
    from eventing.agent import Bucket

PAGES, STATE = "evidence/pages", "evidence/state"
MANY = 32  # pieces that are compacted
LISTINGS = 5  # that a reader makes while others compact


async def knowledge(bucket: Bucket) -> Knowledge:
    """All that is known; a piece that cannot be read is as if it were not there."""
    names, known = await _pieces(bucket)
    if len(names) >= MANY:
        await _compact(bucket, names, known)
    return known


async def learn(bucket: Bucket, more: Knowledge) -> None:
    """Add to what is known; the pages themselves are put there first."""
    data = more.written()
    await bucket.create(f"{STATE}/{digest(data)}.json", data, "application/json")


async def put(bucket: Bucket, page: Page) -> str:
    """Keep a page, once; its digest."""
    data = page_written(page)
    await bucket.create(f"{PAGES}/{digest(data)}.json", data, "application/json")
    return digest(data)


async def pages(bucket: Bucket, names: list[str]) -> list[Page]:
    """The pages of these digests; one that is not there any more, or is no page, is left out."""
    stored = await asyncio.gather(*(bucket.get(f"{PAGES}/{name}.json") for name in names))
    found: list[Page] = []
    for data in stored:
        with suppress(ValueError):
            found += [page_read(data)] if data else []
    return found


async def _pieces(bucket: Bucket) -> tuple[list[str], Knowledge]:
    """The names of all pieces that could be read, and what they come to."""
    read: dict[str, Knowledge] = {}
    for _ in range(LISTINGS):
        names = [name for name in await bucket.keys(STATE) if name not in read]
        stored = await asyncio.gather(*map(bucket.get, names))
        for name, data in zip(names, stored, strict=True):
            with suppress(ValueError):
                read |= {name: Knowledge.read(data)} if data is not None else {}
        if None not in stored:
            break
    return list(read), reduce(Knowledge.merged, read.values(), Knowledge())


async def _compact(bucket: Bucket, names: list[str], known: Knowledge) -> None:
    data = known.written()
    own = f"{STATE}/{digest(data)}.json"
    if await bucket.create(own, data, "application/json") or own in names:
        await asyncio.gather(*(bucket.delete(name) for name in names if name != own))
