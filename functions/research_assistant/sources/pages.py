"""Pages of the web: a list that is set, or what a SearXNG instance finds; read where robots.txt permits it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from eventing.documents import UnreadableError, read
from eventing.web import FetchError
from functions.research_assistant.sources.page import LONGEST, MOST, Asked, Page, SourceError, decoded, entries, mapping

if TYPE_CHECKING:
    from eventing.agent import Fetched

MOST_LISTED = 20
_NAMES = {
    "text/html": "page.html", "application/xhtml+xml": "page.html", "application/pdf": "page.pdf",
    "text/plain": "page.txt", "text/markdown": "page.md",
}  # fmt: skip
Read = tuple[list[Page], dict[str, str]]


async def searxng(asked: Asked) -> Read:
    """The pages that a SearXNG instance finds, and why some were not read."""
    where = asked.setting("searxng_url")
    if not where:
        raise SourceError("not asked: TORPOR_SETTING_SEARXNG_URL does not say where it is")
    query = urlencode({"q": " ".join(asked.words), "format": "json"})
    told = decoded((await asked.web.get(f"{where.rstrip('/')}/search?{query}")).data)
    urls = [mapping(result).get("url") for result in entries(told.get("results"))]
    return await _read(asked, [url for url in urls if isinstance(url, str)][:MOST])


async def listed(asked: Asked) -> Read:
    """The pages that the setting `pages` lists, and why some were not read."""
    urls = asked.setting("pages").split()
    if not urls:
        raise SourceError("nothing to read: TORPOR_SETTING_PAGES lists no URL")
    read, unread = await _read(asked, urls[:MOST_LISTED])
    return read, unread | dict.fromkeys(urls[MOST_LISTED:], f"more than {MOST_LISTED} pages")


async def _read(asked: Asked, urls: list[str]) -> Read:
    found = await asyncio.gather(*(_one(asked, url) for url in dict.fromkeys(urls)))
    made = {one.url: one for one in found if isinstance(one, Page)}
    return list(made.values()), dict(one for one in found if not isinstance(one, Page))


async def _one(asked: Asked, url: str) -> Page | tuple[str, str]:
    try:
        return await asyncio.to_thread(_document, await asked.web.page(url))
    except (FetchError, UnreadableError) as why:
        return url, str(why)


def _document(answer: Fetched) -> Page:
    name = _NAMES.get(answer.media_type)
    if name is None:
        raise UnreadableError(f"it is {answer.media_type or 'of no kind that is said'}, not HTML, PDF or text")
    told = read(name, answer.data)
    kept = told.text[:LONGEST]
    remark = told.remark or (f"only its first {LONGEST:,} characters are used" if len(told.text) > LONGEST else "")
    return Page(answer.url, told.title[:300] or answer.url, kept, told.authors, told.year, told.pages, remark)
