"""arXiv: abstracts of preprints. Its terms ask for one request every three seconds; its metadata are under CC0."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlencode

from functions.prose import plain
from functions.research_assistant.sources.page import MOST, Asked, Page, SourceError, page

if TYPE_CHECKING:
    from xml.etree.ElementTree import Element

URL = "https://export.arxiv.org/api/query"
APART_S = 3.0
_ATOM = "{http://www.w3.org/2005/Atom}"


async def find(asked: Asked) -> list[Page]:
    """The abstracts of the preprints that match best."""
    query = {
        "search_query": " OR ".join(f'all:"{word}"' for word in asked.words),
        "max_results": MOST,
        "sortBy": "relevance",
    }
    answer = await asked.web.get(f"{asked.setting('arxiv_url', URL)}?{urlencode(query)}", apart_s=APART_S)
    made = (_page(entry) for entry in _feed(answer.data).findall(f"{_ATOM}entry")[:MOST])
    return [one for one in made if one]


def _feed(data: bytes) -> Element:
    """The root of an Atom feed; one that declares entities of its own is not parsed."""
    from xml.etree import ElementTree

    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise SourceError("it answered XML with declarations, which a feed has none of")
    try:
        root = ElementTree.fromstring(data)  # noqa: S314
    except (ElementTree.ParseError, ValueError, LookupError):
        raise SourceError("it answered something that is no Atom feed") from None
    if root.tag != f"{_ATOM}feed":
        raise SourceError("it answered something that is no Atom feed")
    return root


def _page(entry: Element) -> Page | None:
    def said(name: str) -> str:
        return plain(entry.findtext(f"{_ATOM}{name}") or "")

    if said("id").startswith(("http://arxiv.org/api/errors", "https://arxiv.org/api/errors")):
        raise SourceError(f"it refused the search: {said('summary')[:200]}")
    names = [plain(name.text or "") for name in entry.findall(f"{_ATOM}author/{_ATOM}name")]
    year = said("published")[:4]
    return page(said("id"), said("title"), said("summary"), names, int(year) if year.isdecimal() else None)
