"""Where a request stands: a journal of its events and the fold over it, the same state for any order of the same events."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from eventing import costs
from eventing.editions import edition_of, newest, redriven_of, rerun_of, reruns, suffix
from eventing.envelope import Event, from_json, parsed, to_json
from eventing.errors import EventingError
from eventing.step import Objects
from eventing.workflow import Workflow
from schemas import WorkflowState
from schemas.research import StepState

STEP_FAILED = "step_failed"  # in a request's trail alone; it is published nowhere
# The fields of an event's data that the fold and a reader of the trail need; the rest stays in the topic.
_NOTED = ("topic", "depth", "part", "of", "revision", "question", "reason", "claims", "metadata")
_MEANT = {"email", "sources", "link"}  # the fields of the metadata that have a meaning; they are text
_LONGEST_NOTE = 2_000


def is_dead_letter(event: Event) -> bool:
    return "knativeerrorcode" in event.attributes or "knativeerrordest" in event.attributes


def noted(event: Event) -> Event:
    """The event with only the fields of its data that matter here; hostile data becomes none."""
    try:
        data = parsed(event.data or b"null")
    except ValueError:
        data = None
    given = data if isinstance(data, dict) else {}
    notes = {name: value for name in _NOTED if (value := _note(name, given.get(name))) is not None}
    for name in ("durationms", "tokens", "refusedcalls", "part", "revision", "edition", "rerun", "redriven", "calls"):
        if not re.fullmatch(r"[0-9]{1,15}", event.get(name, "0")):
            event = event.having(**{name: None})
    if costs.read(event.get("cost", "0 EUR")) is None:
        event = event.having(cost=None)
    return Event(event.having(datacontenttype="application/json").attributes, json.dumps(notes).encode())


def _note(name: str, value: Any) -> Any:
    """The value of a field as far as it is of use, or None; whoever reads it can rely on its type."""
    if name == "metadata":
        whole = {key: one for key, one in value.items() if _sound(key, one)} if isinstance(value, dict) else {}
        return (whole if len(json.dumps(whole)) <= _LONGEST_NOTE else {k: whole[k] for k in _MEANT & whole.keys()}) or None
    if name == "claims" and isinstance(value, list):
        return len(value)
    kind = int if name in ("depth", "part", "of", "revision", "claims") else str
    return value if type(value) is kind and len(str(value)) <= _LONGEST_NOTE else None


def _sound(name: str, value: Any) -> bool:
    """Whether a field of the metadata is what it should be, where it has a meaning."""
    return name not in _MEANT or value is None or (isinstance(value, str) and len(value) <= _LONGEST_NOTE)


@dataclass
class Journal:
    """The events of every request, each stored once under `requests/<id>/events/`."""

    objects: Objects
    _read: dict[str, Event] = field(default_factory=dict)  # events never change, so what was read is kept

    async def record(self, request_id: UUID, event: Event) -> bool:
        """Note an event; whether it is new."""
        name = hashlib.sha256(f"{event.source}\n{event.id}".encode()).hexdigest()[:32]
        key = f"requests/{request_id}/events/{name}{death_of(event)}.json"
        return await self.objects.create(key, to_json(noted(event)), "application/json")

    async def events(self, request_id: UUID) -> list[Event]:
        """Everything noted of a request, in the order of the events' times."""
        keys = await self.objects.keys(f"requests/{request_id}/events")
        return in_order(await asyncio.gather(*(self._event(key) for key in keys)))

    async def _event(self, key: str) -> Event:
        if key not in self._read:
            if len(self._read) > 20_000:
                self._read.clear()
            self._read[key] = from_json(await self.objects.get(key) or b"{}")
        return self._read[key]


def in_order(events: Sequence[Event]) -> list[Event]:
    """The events by their times; a dead letter, which has its event's time, after the last failure that it caused."""
    failed: dict[str, str] = {}
    for event in events:
        if event.type == STEP_FAILED and (cause := event.get("cause")):
            failed[cause] = max(failed.get(cause, ""), event.get("time"))

    def place(event: Event) -> tuple[str, bool, str, str, str]:
        dead = is_dead_letter(event)
        time = max(event.get("time"), failed.get(event.id, "")) if dead else event.get("time")
        return time, dead, event.type, event.get("part"), event.id

    return sorted(events, key=place)


def death_of(event: Event) -> str:
    """What tells the deaths of one event from each other and from its life; it dies once each time that it is sent."""
    again = redriven_of(event)
    return f"-dead{suffix(edition_of(event))}{f'.r{again}' if again else ''}" if is_dead_letter(event) else ""


def notes(event: Event) -> dict[str, Any]:
    return cast(dict[str, Any], json.loads(event.data or b"{}"))


def fold(request_id: UUID, events: list[Event], workflow: Workflow) -> WorkflowState:
    """The state that a set of events amounts to."""
    alive = [event for event in events if not is_dead_letter(event)]
    opened = newest(alive)
    edition = edition_of(opened) if opened else 0
    ends = sorted((e for e in alive if e.type in workflow.ends), key=lambda e: workflow.ends.index(e.type))
    end = next((e for e in ends if edition_of(e) == edition), None)
    ended = notes(end) if end else {}
    joined = {event for step in workflow.steps if step.join for event in step.takes}
    valid = _valid(alive)
    done = {notes(e).get("part") for e in valid if e.type in joined}
    abandoned = {notes(e).get("part") for e in valid if e.type == "part_abandoned"}
    deadline = deadline_of(alive, workflow)
    steps = sorted((s for s in map(step_of, alive) if s), key=lambda s: (s.at, s.step, s.part or 0))
    return WorkflowState(
        request_id=request_id,
        edition=edition,
        status="running" if end is None else "failed" if end.type == workflow.fails else "complete",
        # Whose opening was taken is told by what its agents answered; another's with the same id was refused.
        topic=next((t for e in sorted(alive, key=_foreign) if isinstance(t := notes(e).get("topic"), str)), ""),
        events=len(events),
        deadline=deadline.isoformat() if deadline else None,
        parts=next((n for e in alive if isinstance(n := notes(e).get("of"), int)), None),
        parts_done=len(done),
        parts_abandoned=len(abandoned),
        tokens=sum(s.tokens or 0 for s in steps),
        steps=tuple(steps),
        reason=ended.get("reason"),
        link=(ended.get("metadata") or {}).get("link"),
    )


def _valid(events: list[Event]) -> list[Event]:
    """The events that hold for their parts: of a part that was begun anew, only those since then."""
    began = reruns(events)
    return [e for e in events if rerun_of(e) == began.get(notes(e).get("part") or 0, 0)]


def is_late(state: WorkflowState, now: datetime) -> bool:
    """Whether a running request's deadline has passed, and nobody has ended it yet."""
    return state.status == "running" and state.deadline is not None and now > datetime.fromisoformat(state.deadline)


def overdue(state: WorkflowState, events: list[Event], now: datetime) -> WorkflowState:
    """The state as it is at this moment: a running request whose deadline has passed has failed."""
    if state.deadline is None or not is_late(state, now):
        return state
    reason = missed(datetime.fromisoformat(state.deadline), events, state.edition)
    return state.model_copy(update={"status": "failed", "reason": reason})


def missed(deadline: datetime, events: list[Event], edition: int) -> str:
    """That a deadline has passed, and what kept the request from its end, where a step of its edition told of it."""
    passed = f"the deadline {deadline:%Y-%m-%d %H:%M:%S} UTC has passed"
    told = [event for event in events if event.type == STEP_FAILED and edition_of(event) == edition]
    if not told:
        return passed
    where, why = told[-1].source.removeprefix("/agents/"), notes(told[-1]).get("reason", "it told no reason")
    return f"{passed}; the last failure was in {where}: {why}"


def _foreign(event: Event) -> bool:
    return not event.source.startswith("/agents/")


def deadline_of(events: list[Event], workflow: Workflow) -> datetime | None:
    """When the request must have ended: what opened its newest edition says, its agents, its opening event, its time."""
    opened = newest(events)
    for event in [opened] if opened else sorted(events, key=lambda e: (_foreign(e), e.type != workflow.opens)):
        try:
            if deadline := event.moment("deadline"):
                return deadline
            if event.type == workflow.opens and (asked := event.moment("time")):
                return asked + workflow.deadline
        except (EventingError, OverflowError):
            continue
    return None


def step_of(event: Event) -> StepState | None:
    """The step that an agent's answer ended and what it cost; None where the event says nothing of it."""
    place = event.source.split("/")
    if len(place) != 4 or place[1] != "agents" or "durationms" not in event.attributes:
        return None
    cost, currency = costs.read(event.get("cost")) or (0.0, "")
    try:
        return StepState(
            step=place[3],
            agent=place[2],
            part=event.number("part"),
            revision=event.number("revision") or 0,
            at=event.get("time"),
            duration_ms=event.number("durationms"),
            tokens=event.number("tokens"),
            refused_calls=event.number("refusedcalls") or 0,
            cost=cost,
            currency=currency,
            coldstart=event.get("coldstart") == "true",
            event=event.type,
        )
    except EventingError:
        return None
