"""Asking the sources that are switched on, all at once; one that fails is said and keeps none of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventing.web import FetchError
from functions.research_assistant.expansion import telling
from functions.research_assistant.sources import arxiv, openalex, pages, wikipedia
from functions.research_assistant.sources.page import Asked, Page, SourceError

if TYPE_CHECKING:
    from eventing.agent import Fetcher

MOST_WORDS = 8
SECONDS = 90.0  # for one source, all its pages together
Find = Callable[[Asked], Awaitable[list[Page] | tuple[list[Page], dict[str, str]]]]
SOURCES: Mapping[str, Find] = {
    "wikipedia": wikipedia.find,
    "arxiv": arxiv.find,
    "openalex": openalex.find,
    "searxng": pages.searxng,
    "pages": pages.listed,
}


@dataclass(frozen=True)
class Finds:
    """What was found, and for each source or page that could not be used why."""

    pages: tuple[Page, ...]
    unread: Mapping[str, str]


async def looked(names: tuple[str, ...], question: str, web: Fetcher, settings: Mapping[str, str]) -> Finds:
    """Ask the named sources; a page that several find is kept once, in the order of the names."""
    asked = Asked(tuple(telling(question)[:MOST_WORDS]), web, settings)
    answers = await asyncio.gather(*(_one(name, asked) for name in names))
    found: dict[str, Page] = {}
    for page in (page for made, _ in answers for page in made):
        found.setdefault(page.url, page)
    unread = {where: why for _, reasons in answers for where, why in reasons.items()}
    unread |= {page.url: page.remark for page in found.values() if page.remark}
    return Finds(tuple(found.values()), unread)


async def _one(name: str, asked: Asked) -> tuple[list[Page], dict[str, str]]:
    find = SOURCES.get(name)
    if find is None:
        return [], {name: f"no source of this name; there are {', '.join(SOURCES)}"}
    if not asked.words:
        return [], {name: "not asked: the question holds no word to look for"}
    try:
        found = await asyncio.wait_for(find(asked), SECONDS)
    except TimeoutError:
        return [], {name: f"it took longer than {SECONDS:.0f} s in all"}
    except (FetchError, SourceError) as why:
        return [], {name: str(why)}
    return found if isinstance(found, tuple) else (found, {})
