"""Wikipedia, by its search: articles as plain text. Texts are under CC BY-SA 4.0."""

from __future__ import annotations

from urllib.parse import urlencode

from functions.research_assistant.sources.page import MOST, Asked, Page, SourceError, decoded, entries, mapping, page

URL = "https://en.wikipedia.org/w/api.php"


async def find(asked: Asked) -> list[Page]:
    """The introductions of the articles that match best."""
    query = {
        "action": "query", "format": "json", "formatversion": 2, "generator": "search", "gsrlimit": MOST,
        "gsrsearch": " OR ".join(asked.words), "prop": "extracts|info", "explaintext": 1, "exintro": 1, "exlimit": "max",
        "inprop": "url",
    }  # fmt: skip
    told = decoded((await asked.web.get(f"{asked.setting('wikipedia_url', URL)}?{urlencode(query)}")).data)
    if error := mapping(told.get("error")):
        raise SourceError(f"it refused the search: {str(error.get('info'))[:200]}")
    found = [entry for entry in map(mapping, entries(mapping(told.get("query")).get("pages"))) if entry]
    found.sort(key=lambda entry: entry["index"] if isinstance(entry.get("index"), int) else MOST)
    made = (page(e.get("fullurl"), e.get("title"), e.get("extract"), ["Wikipedia"]) for e in found)
    return [one for one in made if one]
