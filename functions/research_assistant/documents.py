"""Documents of a collection in the bucket: their texts, what they say of themselves, and what could not be used."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eventing.documents import ENDINGS, TEXT, Parsers, Reading, UnreadableError, kept_as, read, usable
from functions.prose import clipped, plain
from schemas import Source, Unread

if TYPE_CHECKING:
    from eventing.agent import Bucket

SKIPPED = ".skipped.json"  # what whoever made the collection left out, and why
LONGEST_FRONT = 50_000  # characters
AT_ONCE = 16
_FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)\r?\n(?:---|\.\.\.)[ \t]*(?:\r?\n|\Z)", re.DOTALL)
_HEADING = re.compile(r"^#\s+(.+?)\s*#*\s*$", re.MULTILINE)
_YEARS = range(1000, 3000)


@dataclass(frozen=True)
class Document:
    """A source and its text; the text proper starts at `start`, its pages begin at `pages`."""

    source: Source
    text: str
    start: int = 0
    pages: tuple[int, ...] = ()
    remark: str = ""  # what of it could not be read


async def documents(bucket: Bucket, collection: str) -> tuple[list[Document], list[Unread]]:
    """Every document of a collection in the order of their paths, and what of it is not used."""
    folder = f"sources/{collection}/"
    keys = {key.removeprefix(folder): key for key in await bucket.keys(folder.rstrip("/")) if key.startswith(folder)}
    visible = [path for path in keys if not any(piece.startswith(".") for piece in path.split("/"))]
    texts, parsed = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(1)

    parsers = Parsers()

    async def one(path: str) -> Document | Unread:
        async with texts if path.lower().endswith(TEXT) else parsed:
            try:
                return _document(path, await _reading(bucket, folder, path, parsers))
            except UnreadableError as why:
                return unread_of(path, str(why))

    with parsers:
        found = await asyncio.gather(*(one(path) for path in visible))
    made = [document for document in found if isinstance(document, Document)]
    remarks = [unread_of(d.source.id, d.remark) for d in made if d.remark]
    unread = [entry for entry in found if isinstance(entry, Unread)]
    left_out = _left_out(await bucket.get(folder + SKIPPED)) if SKIPPED in keys else []
    return made, sorted([*left_out, *unread, *remarks], key=lambda entry: entry.path)


def document(path: str, data: bytes) -> Document:
    """A document from its bytes.

    Raises:
        UnreadableError: saying what is wrong with it.
    """
    return _document(path, read(path, data))


def _document(path: str, reading: Reading) -> Document:
    """Front matter that cannot be read is text like any other."""
    text = reading.text
    front = _FRONT.match(text)
    told = _mapping(front[1]) if front else None
    start = front.end() if front and told is not None else 0
    heading = _HEADING.search(text, start)
    title = _line((told or {}).get("title")) or plain(reading.title) or (plain(heading[1]) if heading else "")
    about = {"authors": reading.authors, "year": reading.year} | dict(told or {})
    source = _source(path, title or plain(path.rsplit("/", 1)[-1]), about)
    return Document(source, text, start, reading.pages, reading.remark)


async def _reading(bucket: Bucket, folder: str, path: str, parsers: Parsers) -> Reading:
    """What a document says; PDF and HTML are parsed once, whichever process comes first."""
    if not usable(path):
        raise UnreadableError(f"not one of {', '.join(ENDINGS)}")
    kept = kept_as(path)
    if not kept:
        return read(path, await bucket.get(folder + path) or b"")
    with suppress(ValueError):  # what is there and is no reading is made anew
        return Reading.kept(await bucket.get(folder + kept) or b"null")
    reading = await asyncio.to_thread(read, path, await bucket.get(folder + path) or b"", parsers)
    await bucket.create(folder + kept, reading.written(), "application/json")
    return reading


def _left_out(stored: bytes | None) -> list[Unread]:
    with suppress(ValueError, TypeError, KeyError):
        return [unread_of(entry["path"], entry["reason"]) for entry in json.loads(stored or b"[]")]
    return []


def unread_of(path: str, reason: str) -> Unread:
    return Unread(path=clipped(plain(path), 300) or "?", reason=clipped(plain(reason), 300) or "?")


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
    import yaml  # most documents have no front matter

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
