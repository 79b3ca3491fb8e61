"""The documents of the web for one question: what is known already, and what the sources that are switched on find."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import UTC
from typing import TYPE_CHECKING, Any

from functions.research_assistant import keeping
from functions.research_assistant.documents import Document, unread_of
from functions.research_assistant.expansion import telling
from functions.research_assistant.knowledge import Knowledge, Look, digest, search
from functions.research_assistant.sources import Page, looked
from schemas import Source, Unread

if TYPE_CHECKING:
    from eventing import Context
    from eventing.agent import Fetcher

KNOWN = 40  # pages of earlier requests that are looked through for one question


async def gathered(question: str, names: tuple[str, ...], fresh: bool, ctx: Context) -> tuple[list[Document], list[Unread]]:
    """Documents, each page once, and what could not be read; the same again whenever the step is run again."""
    web = ctx.web
    if web is None:
        return [], [unread_of(name, "not asked: this agent has no way to the web") for name in names]

    async def look() -> dict[str, Any]:
        return await _looked(question, names, fresh, web, ctx)

    told = await ctx.once("looked", look)
    found = {page.url: page for page in reversed(await keeping.pages(ctx.bucket, list(told["pages"])))}
    unread = [unread_of(where, why) for where, why in sorted(told["unread"].items())]
    return [_document(page) for page in reversed(found.values())], unread


async def _looked(question: str, names: tuple[str, ...], fresh: bool, web: Fetcher, ctx: Context) -> dict[str, Any]:
    """The digests of all pages for a question, those found for it first, and why others could not be had."""
    now, words = ctx.clock().astimezone(UTC), telling(question)
    known = Knowledge() if fresh else await keeping.knowledge(ctx.bucket)
    searches = {name: _search(name, words, ctx.settings) for name in names}
    looks = {name: known.fresh(searches[name], now) for name in names}
    asked = [name for name, look in looks.items() if look is None]
    answers = await asyncio.gather(*(looked((name,), question, web, ctx.settings) for name in asked))
    pages = [page for look in looks.values() if look for page in look.pages]
    unread: dict[str, str] = {}
    learnt: dict[str, Look] = {}
    for name, finds in zip(asked, answers, strict=True):
        digests = [await keeping.put(ctx.bucket, page) for page in finds.pages]
        pages += digests
        unread |= finds.unread
        if digests and not finds.unread:
            learnt[searches[name]] = Look(now.isoformat(), tuple(digests))
    if learnt and not fresh:
        kept = frozenset(page for look in learnt.values() for page in look.pages)
        await keeping.learn(ctx.bucket, Knowledge(kept, learnt))
    return {"pages": list(dict.fromkeys([*pages, *known.akin(words, KNOWN)])), "unread": unread}


def _search(name: str, words: Iterable[str], settings: Mapping[str, str]) -> str:
    """The name of a search: another place, or another list of pages, is another; a list is the same for every question."""
    where = settings.get("pages" if name == "pages" else f"{name}_url", "")
    at = f"{name} {digest(where.encode())[:8]}" if where else name
    return search(at, () if name == "pages" else words)


def _document(page: Page) -> Document:
    about = Source(id=page.url, title=page.title, authors=page.authors, year=page.year)
    return Document(about, page.text, 0, page.pages, page.remark)
