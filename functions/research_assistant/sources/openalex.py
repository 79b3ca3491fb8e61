"""OpenAlex: abstracts of scholarly works of every field. Its data are under CC0; it may want a key."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from functions.research_assistant.sources.page import MOST, Asked, Page, decoded, entries, mapping, page

URL = "https://api.openalex.org/works"
LONGEST_ABSTRACT = 5_000  # words


async def find(asked: Asked) -> list[Page]:
    """The abstracts of the works that match best; works without one are left out."""
    query = {"search": " ".join(asked.words), "filter": "has_abstract:true,is_retracted:false", "per-page": MOST}
    if key := asked.setting("openalex_key"):
        query["api_key"] = key
    told = decoded((await asked.web.get(f"{asked.setting('openalex_url', URL)}?{urlencode(query)}")).data)
    made = (_page(mapping(work)) for work in entries(told.get("results"))[:MOST])
    return [one for one in made if one]


def _page(work: Any) -> Page | None:
    names = [mapping(mapping(entry).get("author")).get("display_name") for entry in entries(work.get("authorships"))]
    where = work.get("doi") or work.get("id")
    return page(
        where, work.get("display_name"), abstract(work.get("abstract_inverted_index")), names, work.get("publication_year")
    )


def abstract(index: Any) -> str:
    """The text of an inverted index: which word stands at which places."""
    places = {
        place: word
        for word, where in mapping(index).items()
        for place in entries(where)
        if type(place) is int and 0 <= place < LONGEST_ABSTRACT
    }
    return " ".join(places[place] for place in sorted(places))
