"""One change that makes a true claim false, a function a kind; None where a claim gives no occasion for it."""

from __future__ import annotations

import re
from random import Random

from functions.prose import content

_NUMBER = re.compile(r"(?<![\w.^/-])\d[\d,]*(?:\.\d+)?(?![\w^/-])")
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_DATE = re.compile(rf"\b(?:{'|'.join(_MONTHS)})\b|\b(?:1[89]|20)\d\d\b")
_UNITS = {
    "bytes": "bits", "byte": "bit", "minutes": "hours", "hours": "days", "hour": "day", "days": "weeks", "weeks": "months",
    "months": "years", "month": "year", "years": "months", "percent": "degrees", "million": "billion", "tonnes": "kilograms",
    "kilometres": "metres", "metres": "kilometres", "crowns": "dollars", "dollars": "euros", "degrees": "percent",
    "microsecond": "millisecond", "microseconds": "milliseconds", "bits": "bytes", "km": "metres",
}  # fmt: skip
_OPPOSITES = (
    "larger smaller", "more fewer", "higher lower", "longer shorter", "faster slower", "before after", "earlier later",
    "harder easier", "over under", "above below", "increase decrease", "grew shrank", "rose fell",
    "less more", "slower faster",
    "largest smallest", "strongest weakest", "lower higher", "smaller larger", "after before", "easier harder",
)  # fmt: skip
_NAME = re.compile(r"(?<![\w$-])(?:[A-Z][a-z]+(?:'s)?|[A-Z]{2,}[\w+]*|\w*[a-z][A-Z]\w*)(?:-[\w+]+)*")
_SPREAD = {
    "some": "all", "most": "all", "many": "all", "several": "all", "often": "always", "usually": "always",
    "normally": "always", "may": "will always", "might": "will certainly", "can": "will always", "could": "will certainly",
    "sometimes": "always", "frequent": "constant", "common": "universal",
}  # fmt: skip


def number(claim: str, told: str, random: Random) -> str | None:
    """Another value that the passage does not have."""
    found = [m for m in _NUMBER.finditer(claim) if not _DATE.fullmatch(m[0]) and not _dated(claim, m)]
    if not found:
        return None
    at = random.choice(found)
    value = at[0].replace(",", "")
    digits = list(value)
    place = random.randrange(len(digits))
    while not digits[place].isdigit():
        place = random.randrange(len(digits))
    digits[place] = str((int(digits[place]) + random.randint(1, 8) - 1) % 9 + 1)
    made = "".join(digits)
    return None if made == value or made in told.replace(",", "") else _put(claim, at, made)


def number_of_another(claim: str, told: str, random: Random) -> str | None:
    """A value that the passage gives of something else, in the same unit."""
    found = [m for m in _NUMBER.finditer(claim) if not _DATE.fullmatch(m[0]) and not _dated(claim, m)]
    random.shuffle(found)
    for at in found:
        unit = _after(claim, at.end())
        others = [m[0] for m in _NUMBER.finditer(told) if unit and _after(told, m.end()) == unit]
        said = {m[0].replace(",", "") for m in _NUMBER.finditer(claim)}
        others = [other for other in others if other.replace(",", "") not in said]
        if others:
            return _put(claim, at, random.choice(others))
    return None


def unit(claim: str, told: str, random: Random) -> str | None:
    found = [m for m in re.finditer(r"(?<=\d )[a-z]+", claim) if m[0] in _UNITS]
    return _put(claim, at := random.choice(found), _UNITS[at[0]]) if found else None


def date(claim: str, told: str, random: Random) -> str | None:
    found = list(_DATE.finditer(claim))
    found = [m for m in found if m[0] not in ("May", "March") or re.match(r"\s+\d", claim[m.end() :])]
    if not found:
        return None
    at = random.choice(found)
    if at[0].isdigit():
        return _put(claim, at, str(int(at[0]) + random.choice((-10, -3, -2, -1, 1, 2, 3, 10))))
    return _put(claim, at, random.choice([month for month in _MONTHS if month != at[0]]))


def name(claim: str, told: str, elsewhere: str, random: Random) -> str | None:
    """A name of another passage or of this one in a name's place."""
    mine = [m for m in _named(claim) if m.start() > 0 or not m[0][1:].islower() or " " + m[0] in told]
    others = sorted({m[0].removesuffix("'s") for m in _named(elsewhere)} - {m[0].removesuffix("'s") for m in _named(claim)})
    if not mine or not others:
        return None
    at = random.choice(mine)
    alike = [other for other in others if other[1:].islower() == at[0].removesuffix("'s")[1:].islower()] or others
    return _put(claim, at, random.choice(alike) + ("'s" if at[0].endswith("'s") else ""))


def negation(claim: str, told: str, random: Random) -> str | None:
    """The denial taken away, or put in."""
    for pattern, made in ((r"\b(is|are|was|were|does|do|did|must|has|had|can) not\b", r"\1"), (r"\bcannot\b", "can")):
        if re.search(pattern, claim):
            return re.sub(r"\b(does|do|did) (?=\w)", "", re.sub(pattern, made, claim, count=1), count=1)
    if re.search(r"^No (?=\w)", claim):
        return re.sub(r"^No (\w)", lambda m: "Any " + m[1], claim)
    if re.search(r"\b(is|are|was|were|must|can|could|may|should|had been)\b", claim):
        return re.sub(r"\b(is|are|was|were|must|can|could|may|should)\b", r"\1 not", claim, count=1)
    if found := re.search(r"\b(has|have|had|needs?|uses?|takes?|took)\b", claim):
        return _put(claim, found, {"has": "does not have", "had": "did not have", "took": "did not take"}.get(
            found[0], f"does not {found[0].rstrip('s')}"))  # fmt: skip
    return None


def direction(claim: str, told: str, random: Random) -> str | None:
    pairs = [pair.split() for pair in _OPPOSITES]
    found = [
        (m, b) for a, b in pairs for m in re.finditer(rf"\b{a}\b(?! slowly| quickly|[.,])", claim) if not _fixed(claim, m)
    ]
    if not found:
        return None
    at, other = random.choice(found)
    return _put(claim, at, other)


def _fixed(claim: str, at: re.Match[str]) -> bool:
    """Whether a word belongs to a turn of speech, `no longer`, and compares nothing."""
    return claim[: at.start()].endswith("no ")


def spread(claim: str, told: str, random: Random) -> str | None:
    """A guarded statement without its guard."""
    found = [m for m in re.finditer(r"\b[A-Za-z]+\b", claim) if m[0].lower() in _SPREAD]
    found = [m for m in found if not re.match(r"\s+not\b", claim[m.end() :])]
    if not found:
        return None
    at = random.choice(found)
    made = _SPREAD[at[0].lower()]
    return _put(claim, at, made.capitalize() if at[0][0].isupper() else made)


_VERB = re.compile(r" (?:is|are|was|were|has|had|have|published|uses|used|needs|introduced|proposed|opened|announced) ")


def merged(claim: str, other: str) -> str | None:
    """What is said of one thing, told of another."""
    mine, theirs = _VERB.search(claim), _VERB.search(other)
    if not mine or not theirs:
        return None
    subject, of_another = claim[: mine.start()], other[: theirs.start()]
    leaning = re.match(r"(?:It|They|This|These|Its)\b", subject + " ") or re.match(
        r"(?:It|They|This|These|Its)\b", of_another
    )
    same = set(content(subject)) <= set(content(of_another)) or set(content(of_another)) <= set(content(subject))
    if leaning or same or len(subject.split()) > 9 or subject.endswith((" and", " which", " that")):
        return None
    return subject + other[theirs.start() :]


def added(claim: str, other: str) -> str:
    """What another passage says, told along with it."""
    return f"{claim} {other}"


def _named(text: str) -> list[re.Match[str]]:
    plain = {
        "The",
        "A",
        "An",
        "In",
        "On",
        "For",
        "Of",
        "Some",
        "Most",
        "It",
        "Its",
        "No",
        "Another",
        "Both",
        "Each",
        *_MONTHS,
    }
    return [m for m in _NAME.finditer(text) if m[0] not in plain]


def _dated(text: str, at: re.Match[str]) -> bool:
    return bool(re.match(rf"\s+(?:{'|'.join(_MONTHS)})\b", text[at.end() :])) or bool(
        re.search(rf"\b(?:{'|'.join(_MONTHS)})\s+$", text[: at.start()])
    )


def _after(text: str, at: int) -> str:
    found = re.match(r"\s+([a-z]+)", text[at:])
    return found[1].rstrip("s") if found else ""


def _put(text: str, at: re.Match[str], made: str) -> str:
    return text[: at.start()] + made + text[at.end() :]
