"""Names: each of a claim's stands in the passage or above it, and what is told of it is told of it there."""

from __future__ import annotations

import re
from calendar import month_name

from functions.prose import content, sentences, words
from functions.validator.resting import meaning, shared, within
from functions.validator.spelled import spelled

_NAME = re.compile(r"(?<![\w$-])(?:[A-Z][\w’'+]*|\w*[a-z][A-Z]\w*|\w*[A-Za-z]\d[\w]*)(?:-[\w+]+)*")
_DESIGNATED = re.compile(r"\b([A-Za-z]*[A-Z][\w+-]*) (\d[\d.,-]*\d|\d)(?![\w%])")
_MONTHS = frozenset(month.lower() for month in month_name[1:])
_SHORT = {
    "us": ("united states", "american"), "u.s": ("united states", "american"), "uk": ("united kingdom", "british"),
    "britain": ("united kingdom", "british", "uk"), "eu": ("european union",), "british": ("united kingdom", "britain"),
    "american": ("united states", "us"), "america": ("united states", "us"),
}  # fmt: skip
_COPY = 0.85  # of a claim's words in the nearest sentence: there a new first word is a new subject
_TOLD = 0.6  # of its words without names: there the sentence tells the same, of whomever


def named(text: str) -> list[str]:
    """Names in lower case; the word that opens a sentence is one only when more than its first letter says so."""
    found = []
    for sentence in sentences(text):
        for match in _NAME.finditer(sentence):
            name = re.sub(r"['’]s?$", "", match[0])
            if match.start() > 0 or not (name[1:].islower() or len(name) == 1):
                found.append(name.lower())
    return found


def names(claim: str, passage: str, above: str = "") -> str:
    """Every name of the claim stands in the passage, or in the title and headings `above` it."""
    known = {piece for word in words(f"{passage} {above}") for piece in (word, *re.split(r"[-'’.]", word))}
    for name in named(claim):
        if name in known or within(name, passage) or within(name, above) or _told_otherwise(name, passage):
            continue
        return f"the name {name} is not in the passage"
    return _first(claim, passage, known) or _designated(claim, passage)


def _told_otherwise(name: str, passage: str) -> bool:
    """Whether the passage spells a name out, shortens it, or has the country or the people that it is the other of."""
    if any(within(long, passage) for long in _SHORT.get(name, ())):
        return True
    if any(_of_place(name, other) or _of_place(other, name) for other in named(passage)):
        return True
    initials = "".join(word[0] for word in re.findall(r"\b[A-Z][a-z]+", passage)).lower()
    return name.isalpha() and 3 <= len(name) <= 6 and name in initials


def _of_place(people: str, place: str) -> bool:
    """Whether one is made from the other: `Malian` from `Mali`, `Italian` from `Italy`."""
    return len(place) > 3 and re.fullmatch(rf"{re.escape(place[:-1])}[a-z]?(?:an|ese|ish)", people) is not None


def _first(claim: str, passage: str, known: set[str]) -> str:
    """The first word of a claim that copies a sentence but for it."""
    first = re.match(r"[\w-]+", claim)
    if not first or first[0].lower() in known or not meaning(first[0]) or _told_otherwise(first[0].lower(), passage):
        return ""
    if any(spelled(first[0])):
        return ""
    rest = meaning(claim[first.end() :])
    if len(rest) < 3 or not any(len(shared(rest, meaning(told))) >= _COPY * len(rest) for told in sentences(passage)):
        return ""
    return "" if shared(meaning(first[0]), meaning(passage)) else f"the passage does not say it of {first[0].lower()}"


def _designated(claim: str, passage: str) -> str:
    """A number that belongs to a name, `RFC 8554`, belongs to the same one in the passage."""
    there = [(name.lower(), number) for name, number in _DESIGNATED.findall(passage)]
    for name, number in _DESIGNATED.findall(claim):
        owners = {owner for owner, other in there if other == number} - _MONTHS
        both = within(number, passage) and within(name, passage)
        if owners and name.lower() not in owners | _MONTHS and (not both or re.match(r"[A-Z]{2}", name)):
            return f"the passage has {' and '.join(sorted(owners))} {number}, not {name} {number}"
    return ""


def subjects(claim: str, passage: str) -> str:
    """What the claim says of a name, the passage says in a sentence with that name, not in one with another."""
    mine = [name for name in _subjects(claim, passage) if within(name, passage)]
    body = meaning(claim) - {piece for name in mine for piece in content(name)} - set(mine)
    told = sentences(passage)
    if not mine or len(body) < 2 or not told:
        return ""
    parts = [len(shared(body, meaning(sentence))) / len(body) for sentence in told]
    if max(parts) < _TOLD:
        return ""
    near = [n for n, part in enumerate(parts) if part >= max(parts) - 0.1]
    for name in mine:
        if any(within(name, told[n]) for n in near) or any(_leans(told[n]) and within(name, told[n - 1]) for n in near if n):
            continue
        others = [other for other in _subjects(told[near[0]], passage) if not within(other, claim)]
        if others:
            return f"the passage says it of {others[0]}, not of {name}"
    return ""


def _subjects(text: str, passage: str) -> list[str]:
    """The names of a text, and its first word where the passage knows it as a name only."""
    found = [name for name in named(text) if not name.isdigit() and name not in _MONTHS]
    first = re.match(r"[A-Z][\w-]+", text)
    if first and content(first[0]) and first[0] in re.findall(r"(?<=[\w,] )[A-Z][\w-]+", passage):
        found.append(first[0].lower())
    return found


def _leans(sentence: str) -> bool:
    return re.match(r"(?:It|Its|They|Their|This|These|That|Those|Such|The|He|She)\b", sentence) is not None
