"""Dead letters: each kept whole in the store, with when it came and whether it was sent again. Nothing is sent here.

`dead/<request>/<name>.json` is a letter, `dead/<request>/<name>.redriven.json` beside it says that it was sent again. A
letter that dies again has another name: its edition, and how often it was sent again, are part of it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import unquote, urlparse
from uuid import UUID

from eventing.editions import ADDRESSEE, REDRIVEN, edition_of
from eventing.envelope import Event, from_content, to_content
from eventing.step import Objects
from eventing.workflow import Step, Workflow

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
    final = code.isdigit() and int(code) < 500 and int(code) not in (404, 408, 409, 429)
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
class DeadLetters:
    """All dead letters of a store."""

    objects: Objects

    async def keep(self, request_id: UUID | None, event: Event, at: datetime) -> None:
        """Keep a letter, unless it is there; one of no known request as well."""
        what = f"{event.source}\n{event.id}\n{event.get('knativeerrordest')}\n{event.get(REDRIVEN)}"
        name = f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.{edition_of(event)}"
        content = json.dumps({"at": at.isoformat(), "event": to_content(event)})
        await self.objects.create(f"dead/{request_id or '-'}/{name}.json", content.encode(), "application/json")

    async def every(self, request_id: UUID | None = None) -> list[DeadLetter]:
        """Every letter, or those of a request, the oldest first."""
        keys = await self.objects.keys(f"dead/{request_id}" if request_id else "dead")
        letters = [key for key in keys if not key.endswith(".redriven.json")]
        marks = set(keys) - set(letters)
        found = await asyncio.gather(*(self._read(key, _mark(key) in marks) for key in letters))
        return sorted(found, key=lambda letter: (letter.since, letter.key))

    async def mark(self, letter: DeadLetter, as_what: str) -> None:
        """Say that a letter was sent again."""
        await self.objects.create(_mark(letter.key), json.dumps({"as": as_what}).encode(), "application/json")

    async def _read(self, key: str, sent: bool) -> DeadLetter:
        content = json.loads(await self.objects.get(key) or b"{}")
        mark = json.loads(await self.objects.get(_mark(key)) or b"{}") if sent else {}
        return DeadLetter(key, from_content(content["event"]), datetime.fromisoformat(content["at"]), mark.get("as", ""))


def _mark(key: str) -> str:
    return f"{key.removesuffix('.json')}.redriven.json"
