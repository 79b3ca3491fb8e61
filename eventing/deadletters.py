"""Dead letters: each kept whole in the store, with when it came and whether it was sent again. Nothing is sent here.

`dead/<request>/<name>.json` is a letter, `dead/<request>/<name>.redriven.json` beside it says that it was sent again. A name
begins with the moment at which the letter came, so that letters are put in order without being read. A letter that dies
again has another name: its edition, and how often it was sent again, are part of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote, urlparse
from uuid import UUID

from eventing.editions import ADDRESSEE, REDRIVEN, edition_of
from eventing.envelope import Event, from_content, to_json
from eventing.errors import retried
from eventing.step import Objects
from eventing.workflow import Step, Workflow

NAME = re.compile(r"[0-9]{8}T[0-9]{6}\.[0-9]{6}Z\.[0-9a-f]{32}\.[0-9]{1,4}")
_SENT = ".redriven.json"
_ADDED = ("failedstep", "reason", "error", ADDRESSEE)  # beside what Eventing adds, which begins with `knative`


def told(dead: Event) -> str:
    """A dead letter in one sentence: which step failed, and why."""
    step = dead.get("failedstep") or dead.get("knativeerrordest") or "a step"
    tried = "" if dead.get("knativeerrorcode").startswith("4") else " after all its retries"
    return f"{step} could not handle {dead.type}{tried}: {reason(dead)}"


def reason(dead: Event) -> str:
    """Why, in the agent's own words where it gave any."""
    code = dead.get("knativeerrorcode")
    return unquote(dead.get("reason")) or (f"HTTP {code}" if code else f"no answer from {dead.get('knativeerrordest')}")


def revived(dead: Event) -> Event:
    """The event as it was before it died."""
    added = {name: None for name in dead.attributes if name.startswith("knative") or name in _ADDED}
    return dead.having(**added)


def step_of(dead: Event, workflow: Workflow) -> Step | None:
    """The step that failed; None where the letter does not tell it from others that take such events."""
    takers = [step for step in workflow.steps if dead.type in step.takes]
    host = (urlparse(dead.get("knativeerrordest")).hostname or "").partition(".")[0]
    named = {dead.get("failedstep").replace("-", "_"), host.replace("-", "_")}
    return next((step for step in takers if step.agent in named), takers[0] if len(takers) == 1 else None)


def attempts(dead: Event, workflow: Workflow) -> int:
    """How often its delivery was tried: once where the answer said that trying again is of no use."""
    code = dead.get("knativeerrorcode")
    final = code.isdigit() and not retried(int(code))
    return 1 if final else 1 + workflow.delivery.retries


@dataclass(frozen=True)
class DeadLetter:
    """An event that could not be handled; `redriven` says as what it was sent again, and is empty until then."""

    key: str
    event: Event
    since: datetime
    redriven: str = ""

    @property
    def request_id(self) -> UUID | None:
        name = self.key.split("/")[1]
        return None if name == "-" else UUID(name)


@dataclass(frozen=True)
class Place:
    """Where a letter lies, and whether it was sent again: all that is known of it before it is read."""

    key: str
    sent: bool

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2].removesuffix(".json")


@dataclass(frozen=True)
class DeadLetters:
    """All dead letters of a store."""

    objects: Objects

    async def keep(self, request_id: UUID | None, event: Event, at: datetime) -> None:
        """Keep a letter, unless it is there; one of no known request as well."""
        folder = f"dead/{request_id or '-'}"
        what = f"{folder}\n{event.source}\n{event.id}\n{event.get('knativeerrordest')}\n{event.get(REDRIVEN)}"
        ending = f".{hashlib.sha256(what.encode()).hexdigest()[:32]}.{edition_of(event)}.json"
        if any(key.endswith(ending) for key in await self.objects.keys(folder)):
            return
        content = b'{"at": "%s", "event": %s}' % (at.isoformat().encode(), to_json(event))
        await self.objects.create(f"{folder}/{at.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}{ending}", content, "application/json")

    async def places(self, request_id: UUID | None = None) -> list[Place]:
        """Where every letter lies, or those of a request, the oldest first."""
        keys = await self.objects.keys(f"dead/{request_id}" if request_id else "dead")
        marks = {key for key in keys if key.endswith(_SENT)}
        found = (Place(key, _mark(key) in marks) for key in keys if key not in marks)
        # Two who kept a letter at one moment may have kept it twice: the first counts.
        once = {place.name.partition("Z.")[2]: place for place in sorted(found, key=lambda p: p.name, reverse=True)}
        return sorted(once.values(), key=lambda place: place.name)

    async def read(self, place: Place) -> DeadLetter:
        """The letter that lies there."""
        content = json.loads(await self.objects.get(place.key) or b"{}")
        mark = json.loads(await self.objects.get(_mark(place.key)) or b"{}") if place.sent else {}
        since = datetime.fromisoformat(content["at"])
        return DeadLetter(place.key, from_content(content["event"]), since, mark.get("as", ""))

    async def every(self, request_id: UUID) -> list[DeadLetter]:
        """The letters of a request, the oldest first."""
        return list(await asyncio.gather(*map(self.read, await self.places(request_id))))

    async def mark(self, letter: DeadLetter, as_what: str) -> None:
        """Say that a letter was sent again."""
        await self.objects.create(_mark(letter.key), json.dumps({"as": as_what}).encode(), "application/json")


def _mark(key: str) -> str:
    return f"{key.removesuffix('.json')}{_SENT}"
