"""Documents of a collection: Markdown and text files in the bucket, with what their front matter says of them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

from functions.prose import clipped, plain
from schemas import Source

if TYPE_CHECKING:
    from eventing.agent import Bucket

ENDINGS = (".md", ".markdown", ".txt")
LARGEST = 4_000_000  # bytes; what is larger is no note that a person wrote
LONGEST_FRONT = 50_000  # characters
AT_ONCE = 16
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)
_YEARS = range(1000, 3000)


@dataclass(frozen=True)
class Document:
    """A source and its text; the text proper starts at `start`."""

    source: Source
    text: str
    start: int = 0


async def documents(bucket: Bucket, collection: str) -> list[Document]:
    """Every document of a collection that can be read, in the order of their paths."""
    folder = f"sources/{collection}/"
    keys = [key for key in await bucket.keys(folder.rstrip("/")) if key.startswith(folder) and key.lower().endswith(ENDINGS)]
    gate = asyncio.Semaphore(AT_ONCE)

    async def fetch(key: str) -> bytes:
        async with gate:
            return await bucket.get(key) or b""

    fetched = zip(keys, await asyncio.gather(*map(fetch, keys)), strict=True)
    return [
        document(key.removeprefix(folder), data) for key, data in fetched if 0 < len(data) <= LARGEST and b"\0" not in data
    ]


def document(path: str, data: bytes) -> Document:
    """A document from its bytes; front matter that cannot be read is text like any other."""
    text = data.decode("utf-8", "replace")
    front = _FRONT.match(text)
    told = _mapping(front[1]) if front else None
    start = front.end() if front and told is not None else 0
    heading = _HEADING.search(text, start)
    title = _line((told or {}).get("title")) or (plain(heading[1]) if heading else "") or plain(path.rsplit("/", 1)[-1])
    return Document(_source(path, title, told or {}), text, start)


def _source(path: str, title: str, told: Mapping[Any, Any]) -> Source:
    year = told.get("year")
    return Source(
        id=path,
        title=clipped(title or path, 300),
        authors=_line(told.get("authors") or told.get("author")),
        year=year if isinstance(year, int) and year in _YEARS else None,
        references=tuple(_line(entry) for entry in _list(told.get("references"))[:50] if _line(entry)),
    )


def _mapping(text: str) -> Mapping[Any, Any] | None:
    if len(text) > LONGEST_FRONT:
        return None
    try:
        told = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return None
    return told if isinstance(told, Mapping) else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def _line(value: Any) -> str:
    """A value of front matter as one line; a list of names is joined."""
    entries = [entry for entry in _list(value) if isinstance(entry, str) or (type(entry) is int and abs(entry) < 1e9)]
    return clipped(plain(", ".join(map(str, entries))), 500)
