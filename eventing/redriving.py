"""Sending on from where a request stopped: dead letters to the agent that failed, an ended request as a new edition.

A new edition is one object, created once: every event that it sends. Whoever finds it not yet carried out carries it out, so
a process that dies in between leaves nothing half done, and two who ask at once open one edition.

    stored?      -> no: find what to send, put it as one object, if absent
    carried out? -> have its deadline watched, note it in the trail, send what is STORED, mark

One that was not carried out before its deadline is left, and the next takes its place.

What it sends is whatever is stored and was taken by no step that is done: the event that died, and those whose steps gave
up when the request failed. A request that ended partially begins its abandoned parts anew (`rerun`), from the events that
opened them, and joins them with the parts that were sound.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from eventing import ids
from eventing.agent import StepKey
from eventing.deadletters import DeadLetter, revived, step_of
from eventing.editions import ADDRESSEE, OPENED, REDRIVEN, attribute, edition_of, redriven_of, rerun_of, reruns
from eventing.envelope import Event, from_content, from_json, to_json
from eventing.runtime import Runtime
from eventing.step import parts_of
from eventing.workflow import Step

ABANDONED = "part_abandoned"


@dataclass(frozen=True)
class Edition:
    """An edition as it is stored: the event that opens it in the trail, and what it sends."""

    opened: Event
    events: tuple[Event, ...]

    @property
    def number(self) -> int:
        return edition_of(self.opened)


@dataclass(frozen=True)
class Redriver:
    """Sends on one request."""

    runtime: Runtime
    request_id: UUID

    async def newest(self) -> tuple[int, Edition | None]:
        """The number of the newest edition that is stored, and the edition where it is still to be carried out."""
        keys = await self.runtime.store.keys(self._folder)
        number = sum(key.endswith(".edition.json") for key in keys)
        if number == 0 or self._key(number, "sent") in keys:
            return number, None
        stored = await self._stored(number)
        deadline = stored.opened.moment("deadline")
        return number, stored if deadline and deadline > self.runtime.clock() else None

    async def plan(self, number: int, trail: list[Event], letters: Iterable[DeadLetter], anew: bool) -> Edition:
        """Edition `number`: of the abandoned parts `anew`, else of whatever was not done. Nothing is stored yet."""
        deadline = self.runtime.clock() + self.runtime.workflow.deadline
        before = max(reruns(trail).values(), default=0)
        stored = await self._answers()
        if anew:
            events, parts = await self._begun_anew(stored, before)
        else:
            dead = [revived(letter.event) for letter in letters]
            events, parts = await self._undone([*dead, *stored], before), []
        own = {
            "edition": str(number),
            "rerun": attribute(number if anew else before),
            "deadline": deadline.isoformat(),
            "budgettokens": str(self.runtime.workflow.budget_tokens),
            REDRIVEN: None,
        }
        opened = self._opened(number, parts, deadline)
        return Edition(opened, tuple(event.having(**own) for event in events))

    async def store(self, edition: Edition) -> Edition:
        """Store an edition; that which was stored before it where there is one."""
        events = b", ".join(map(to_json, edition.events))
        content = b'{"opened": %s, "events": [%s]}' % (to_json(edition.opened), events)
        key = self._key(edition.number, "edition")
        if await self.runtime.store.create(key, content, "application/json"):
            return edition
        return await self._stored(edition.number)

    async def carry_out(self, edition: Edition) -> None:
        """Bring an edition on its way: its deadline (what is begun has to end), its place in the trail, its events."""
        if deadline := edition.opened.moment("deadline"):
            await self.runtime.watch(self.request_id, deadline)
        await self.runtime.journal.record(self.request_id, edition.opened)
        for event in edition.events:
            await self.runtime.steps.send(self.request_id, event)
        await self.runtime.store.mark(self._key(edition.number, "sent"), self._key(edition.number, "edition"))

    async def again(self, letter: DeadLetter) -> Event:
        """Send a dead letter on within its edition, to the agent that failed; what was sent."""
        event = self.revived(letter)
        await self.runtime.steps.send(self.request_id, event)
        await self.runtime.dead_letters.mark(letter, "again")
        return event

    def revived(self, letter: DeadLetter) -> Event:
        """A dead letter's event as it is sent within its edition, for the agent that failed alone."""
        step = step_of(letter.event, self.runtime.workflow)
        times = str(redriven_of(letter.event) + 1)
        return revived(letter.event).having(**{ADDRESSEE: step.agent if step else None, REDRIVEN: times})

    async def _stored(self, number: int) -> Edition:
        content = json.loads(await self.runtime.store.get(self._key(number, "edition")) or b"{}")
        return Edition(from_content(content["opened"]), tuple(map(from_content, content["events"])))

    async def _answers(self) -> list[Event]:
        """Every event of the request that is stored whole: its opening, what its editions sent, what its steps answered."""
        get, folder = self.runtime.store.get, f"requests/{self.request_id}"
        opening = await get(f"{folder}/request.json")
        found = [from_json(opening)] if opening else []
        keys = [key for key in await self.runtime.store.keys(self._folder) if key.endswith(".edition.json")]
        keys += [key for key in await self.runtime.store.keys(f"{folder}/steps") if key.endswith(".result.json")]
        for key in keys:
            content = json.loads(await get(key) or b"{}")
            found += map(from_content, content.get("events") or content.get("answers") or ())
        return found

    async def _undone(self, events: list[Event], level: int) -> list[Event]:
        """Of the events that hold, those that a step takes which has no result, each for that step's agent alone."""
        workflow, found = self.runtime.workflow, dict[tuple[str, str, str], Event]()
        results = set(await self.runtime.store.keys(f"requests/{self.request_id}/steps"))
        for event in events:
            if rerun_of(event) != level or event.type == workflow.fails:
                continue
            if event.type in workflow.ends:  # it was not published, since the request had failed
                found[event.source, event.id, ""] = event.having(**{ADDRESSEE: None})
                continue
            for step in workflow.steps:
                if event.type in step.takes and f"{self._step(step, event, level).path()}.result.json" not in results:
                    found[event.source, event.id, step.agent] = event.having(**{ADDRESSEE: step.agent})
        return list(found.values())

    def _step(self, step: Step, event: Event, level: int) -> StepKey:
        """The step that takes an event; a join is one of the whole request."""
        if step.join:
            return StepKey(self.request_id, step.name, edition=level)
        return StepKey(self.request_id, step.name, event.number("part"), event.number("revision") or 0, level)

    async def _begun_anew(self, stored: list[Event], level: int) -> tuple[list[Event], list[int]]:
        """The events that opened the abandoned parts, and the ends of the others."""
        found, parts = list[Event](), list[int]()
        fans = {step.name for step in self.runtime.workflow.steps if step.fan_out}
        firsts = {e.number("part"): e for e in reversed(stored) if e.source.rpartition("/")[2] in fans}
        for step in self.runtime.workflow.steps:
            if not step.join:
                continue
            for key in await self.runtime.store.keys(parts_of(StepKey(self.request_id, step.name, edition=level))):
                event = from_content(json.loads(await self.runtime.store.get(key) or b"{}")["event"])
                part = event.number("part")
                if event.type == ABANDONED and part in firsts:
                    parts.append(part or 0)
                    event = firsts[part]
                agents = {taker.agent for taker in self.runtime.workflow.steps if event.type in taker.takes}
                found.append(event.having(**{ADDRESSEE: agents.pop() if len(agents) == 1 else None}))
        return found, parts

    def _opened(self, number: int, parts: list[int], deadline: datetime) -> Event:
        named = ", ".join(map(str, parts))
        told = f"part {named} is done anew" if parts else "it goes on where it failed"
        attributes = {
            "specversion": "1.0",
            "id": ids.named_id(self.request_id, f"edition {number}"),
            "source": "/gateway",
            "type": OPENED,
            "time": self.runtime.clock().isoformat(),
            "requestid": str(self.request_id),
            "edition": str(number),
            "deadline": deadline.isoformat(),
            **({"rerun": str(number), "parts": ",".join(map(str, parts))} if parts else {}),
        }
        return Event(attributes, json.dumps({"reason": told}).encode())

    @property
    def _folder(self) -> str:
        return f"requests/{self.request_id}/editions"

    def _key(self, number: int, what: str) -> str:
        return f"{self._folder}/{number:03d}.{what}.json"
