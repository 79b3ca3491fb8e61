"""Cutting documents into passages: a few sentences each, word for word, with ids that stay the same."""

from __future__ import annotations

import hashlib
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from functions.prose import clipped, plain, spans, words
from functions.research_assistant.documents import Document
from schemas import Passage

LONGEST = 700  # characters of a passage, about 170 tokens
FEWEST_WORDS = 6
NEAR = 240  # characters that are shown before and after a passage
_HEADING = re.compile(r"#{1,6}\s+(.+?)[\s#]*$")
_NEXT_HEADING = re.compile(r"^#{1,6}\s", re.MULTILINE)
_RULE = re.compile(r"[-=*_\s`~|:]+")


@dataclass(frozen=True)
class Found:
    """A passage and the headings that it stands under, which help to find it."""

    passage: Passage
    under: str


def passage_id(source: str, text: str) -> str:
    return hashlib.sha256(f"{source}\n{text}".encode()).hexdigest()[:16]


def passages(document: Document) -> list[Found]:
    """The passages of a document, each once."""
    found: dict[str, Found] = {}
    headings: dict[int, str] = {}
    section = document.start
    for start, end in _blocks(document.text, document.start):
        block = document.text[start:end]
        if heading := _HEADING.fullmatch(block.strip()):
            level = len(block.strip()) - len(block.strip().lstrip("#"))
            headings = {n: h for n, h in headings.items() if n < level} | {level: plain(heading[1])}
            section = end
            continue
        under = " ".join([document.source.title, *headings.values()])
        for first, last in _pieces(block):
            text = plain(block[first:last])
            if len(words(text)) >= FEWEST_WORDS:
                name = passage_id(document.source.id, text)
                at = start + first
                passage = Passage(
                    id=name,
                    source=document.source,
                    text=text,
                    offset=at,
                    page=bisect_right(document.pages, at) or None,
                    under=clipped(" › ".join(headings.values()), 300),
                    before=_before(document.text, section, at),
                    after=_after(document.text, start + last),
                )
                found.setdefault(name, Found(passage, under))
    return list(found.values())


def _before(text: str, section: int, at: int) -> str:
    """The words of the section that stand before a place."""
    said = plain(text[max(section, at - 2 * NEAR) : at])
    return said if len(said) <= NEAR else "…" + said[-NEAR:].partition(" ")[2]


def _after(text: str, end: int) -> str:
    """The words that follow a place, up to the next heading."""
    heading = _NEXT_HEADING.search(text, end, end + 2 * NEAR)
    return clipped(plain(text[end : heading.start() if heading else end + 2 * NEAR]), NEAR)


def _blocks(text: str, start: int) -> Iterator[tuple[int, int]]:
    """Where each paragraph or heading lies; empty lines, rules and headings stand between paragraphs."""
    begun = at = start
    for line in text[start:].splitlines(keepends=True):
        heading = _HEADING.fullmatch(line.strip())
        if heading or not line.strip() or _RULE.fullmatch(line):
            if at > begun:
                yield begun, at
            if heading:
                yield at, at + len(line)
            begun = at + len(line)
        at += len(line)
    if at > begun:
        yield begun, at


def _pieces(block: str) -> Iterator[tuple[int, int]]:
    """Where each run of whole sentences lies that is no longer than a passage may be."""
    begun = end = -1
    for first, last in _bounded(block):
        if begun >= 0 and last - begun > LONGEST:
            yield begun, end
            begun = -1
        begun, end = (first if begun < 0 else begun), last
    if begun >= 0:
        yield begun, end


def _bounded(block: str) -> Iterator[tuple[int, int]]:
    """Where each sentence lies; one that is too long is cut between words."""
    for first, last in spans(block):
        while last - first > LONGEST:
            space = block.rfind(" ", first + 1, first + LONGEST)
            cut = space if space > 0 else first + LONGEST
            yield first, cut
            first = cut
        yield first, last
