"""A report's sources for programs that manage references: as BibTeX and as CSL JSON."""

from __future__ import annotations

import json
import re
from itertools import count
from typing import Any

Source = dict[str, Any]
_ESCAPED = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "^": r"\textasciicircum{}", "~": r"\textasciitilde{}",
}  # fmt: skip
_DOI = re.compile(r"https?://(?:dx\.)?doi\.org/(10\..+)")
# Words that a person's name does not have.
_BODY = re.compile(
    r"\b(?:institute|agency|force|cent(?:er|re)|university|group|organi[sz]ation|committee|commission|panel|office|national"
    r"|network|standards|society|association|department|ministry|council|laboratory|team|project|of|for|the)\b",
    re.IGNORECASE,
)


def bibtex(sources: list[Source]) -> str:
    """The sources as BibTeX, in UTF-8."""
    return "\n".join(_entry(key, source) for key, source in _keyed(sources))


def csl(sources: list[Source]) -> str:
    """The sources as CSL JSON."""
    return json.dumps([_item(key, source) for key, source in _keyed(sources)], ensure_ascii=False, indent=2) + "\n"


def _keyed(sources: list[Source]) -> list[tuple[str, Source]]:
    """Each source with a key of its own: family, year and the title's first longer word."""
    taken: dict[str, Source] = {}
    for source in sources:
        names = authors(source)
        family = (names[0].split()[-1] if _person(names[0]) else names[0].split()[0]) if names else ""
        word = next((word for word in re.findall(r"[A-Za-z]{4,}", source["title"])), "")
        key = re.sub(r"[^a-z0-9]", "", f"{family}{source['year'] or ''}{word}".lower()) or "source"
        taken[next(free for n in count(1) if (free := key if n == 1 else f"{key}-{n}") not in taken)] = source
    return list(taken.items())


def authors(source: Source) -> list[str]:
    """The names of a source's authors; several stand with commas, semicolons or `and` between them."""
    told = str(source["authors"] or "")
    return [name.strip() for name in re.split(r";|, (?:and )?| and ", told) if name.strip()]


def _person(name: str) -> bool:
    return 2 <= len(name.split()) <= 4 and not name.split()[-1][0].islower() and not _BODY.search(name)


def _entry(key: str, source: Source) -> str:
    names = [_latex(name) if _person(name) else f"{{{_latex(name)}}}" for name in authors(source)]
    told = {"title": f"{{{_latex(source['title'])}}}", "author": " and ".join(names), "year": str(source["year"] or "")}
    told |= {name: _latex(value) if name != "url" else _latex_url(value) for name, value in _where(source).items()}
    fields = "".join(f"  {name} = {{{value}}},\n" for name, value in told.items() if value)
    return f"@misc{{{key},\n{fields}}}\n"


def _where(source: Source) -> dict[str, str]:
    """Where a source is found: a DOI, a URL, or its path in the collection."""
    if found := _DOI.match(source["id"]):
        return {"doi": found[1], "url": source["id"]}
    if re.match(r"https?://", source["id"]):
        return {"url": source["id"]}
    return {"howpublished": source["id"]}


def _latex(text: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in text)


def _latex_url(text: str) -> str:
    """A URL keeps its characters, but for those that would end the field or begin a command."""
    return re.sub(r"[\\{}\s%]", lambda found: f"\\%{ord(found[0]):02X}" if found[0] != "%" else r"\%", text)


def _item(key: str, source: Source) -> dict[str, Any]:
    item: dict[str, Any] = {"id": key, "type": "document", "title": source["title"]}
    if names := authors(source):
        item["author"] = [_name(name) for name in names]
    if source["year"]:
        item["issued"] = {"date-parts": [[source["year"]]]}
    where = _where(source)
    named = {"doi": "DOI", "url": "URL", "howpublished": "archive_location"}
    return item | {named[name]: value for name, value in where.items()}


def _name(name: str) -> dict[str, str]:
    if not _person(name):
        return {"literal": name}
    given, _, family = name.rpartition(" ")
    return {"family": family, "given": given}
