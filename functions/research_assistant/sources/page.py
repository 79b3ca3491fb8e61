"""What every source takes and gives: a question with the web to ask it of, and pages."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from functions.prose import clipped, plain

if TYPE_CHECKING:
    from eventing.agent import Fetcher

MOST = 5  # pages of one source for one question
LONGEST = 60_000  # characters of a page that are kept


class SourceError(ValueError):
    """What a source answered is of no use; the message says why, for whoever reads the report."""


@dataclass(frozen=True)
class Asked:
    """The words to look for, the web, and what whoever runs the platform has set."""

    words: tuple[str, ...]
    web: Fetcher
    settings: Mapping[str, str]

    def setting(self, name: str, default: str = "") -> str:
        return self.settings.get(name) or default


@dataclass(frozen=True)
class Page:
    """One document that was found, and what its source says of it."""

    url: str
    title: str
    text: str
    authors: str = ""
    year: int | None = None
    pages: tuple[int, ...] = ()
    remark: str = ""


def page(url: Any, title: Any, text: Any, authors: Any = (), year: Any = None) -> Page | None:
    """A page of what a source told, or None where it tells no text or nowhere to find it."""
    if (
        not isinstance(url, str)
        or not url.startswith(("https://", "http://"))
        or not isinstance(text, str)
        or not text.strip()
    ):
        return None
    names = [plain(name) for name in authors if isinstance(name, str)]
    told = plain(title) if isinstance(title, str) else ""
    when = year if isinstance(year, int) and 1000 <= year < 3000 else None
    return Page(clipped(plain(url), 2_000), clipped(told or url, 300), text[:LONGEST], clipped(", ".join(names), 500), when)


def mapping(value: Any) -> Mapping[str, Any]:
    """A JSON object, or an empty one where something else stands."""
    return value if isinstance(value, Mapping) else {}


def entries(value: Any) -> list[Any]:
    """A JSON list, or an empty one where something else stands."""
    return value if isinstance(value, list) else []


def decoded(data: bytes) -> Mapping[str, Any]:
    """The JSON object that a source answered.

    Raises:
        SourceError: it is none.
    """
    try:
        told = json.loads(data)
    except (ValueError, RecursionError):
        raise SourceError("it answered something that is no JSON") from None
    if not isinstance(told, Mapping):
        raise SourceError("it answered JSON that is no object")
    return told
