"""Editions: a request that has ended is taken up again, and what was done for it stays done. Pure; nothing is stored here.

Two attributes say everything, and an event without them is of the first edition, 0:
  edition  on every event of a later edition: the outcome, the mail, the deadline and the token account are the edition's own
  rerun    on the events of what is done anew: the edition that began it, which is in the keys of these steps

A step without `rerun` has the key that it always had. What is stored of it is published in the new edition, and not done
again; model calls that it bought before it failed are answered, and not bought again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from uuid import UUID

from eventing.envelope import Event

OPENED = "edition_opened"  # in a request's trail alone; it is published nowhere
ADDRESSEE = "addressee"  # the agent that alone takes an event which is sent again
REDRIVEN = "redriven"  # how often an event was sent again within its edition
_NUMBER = re.compile(r"[0-9]{1,4}")


def edition_of(event: Event) -> int:
    """The edition that an event belongs to."""
    return _number(event, "edition")


def rerun_of(event: Event) -> int:
    """The edition that began what an event belongs to; 0 for the first."""
    return _number(event, "rerun")


def redriven_of(event: Event) -> int:
    """How often an event was sent again within its edition."""
    return _number(event, REDRIVEN)


def is_sent_on(event: Event) -> bool:
    """Whether somebody sent the event on, or it follows from one that was."""
    return bool(edition_of(event) or redriven_of(event))


def _number(event: Event, name: str) -> int:
    """Whatever else stands there, by whomever it was put there, is none."""
    value = event.get(name)
    return int(value) if value and _NUMBER.fullmatch(value) else 0


def within(answer: Event, cause: Event | None) -> Event:
    """A stored answer as it is published in the edition of the event that asks for it."""
    if cause is None or edition_of(answer) == edition_of(cause):
        return answer
    own = {name: cause.attributes.get(name, answer.attributes.get(name)) for name in ("deadline", "budgettokens")}
    return answer.having(edition=attribute(edition_of(cause)), **own)


def attribute(edition: int) -> str | None:
    """An edition as an attribute's value: none for the first."""
    return str(edition) if edition else None


def account(request_id: UUID, edition: int) -> str:
    """The name of an edition's token account at the scheduler, and the beginning of the call keys of what it runs anew."""
    return f"{request_id}~{edition}" if edition else str(request_id)


def suffix(edition: int) -> str:
    """What tells an edition's objects from those of the first."""
    return f".e{edition}" if edition else ""


def newest(events: Iterable[Event]) -> Event | None:
    """The event that opened a request's newest edition; None while it is in its first."""
    return max((event for event in events if event.type == OPENED), key=edition_of, default=None)


def reruns(events: Iterable[Event]) -> dict[int, int]:
    """The edition that began each part which was begun anew."""
    found: dict[int, int] = {}
    for event in events:
        if event.type == OPENED and (edition := rerun_of(event)):
            for part in map(int, re.findall(_NUMBER, event.get("parts"))):
                found[part] = max(edition, found.get(part, 0))
    return found
