"""What the tracker does with an event: note it, publish the request's new state, end the request when it must end,
close its account when it has."""

from __future__ import annotations

import contextlib
from datetime import datetime
from uuid import UUID

from pydantic import ValidationError

from eventing import ids, telemetry
from eventing.deadletters import told
from eventing.editions import account, attribute, edition_of, newest, suffix
from eventing.envelope import Event, parsed
from eventing.errors import EventingError
from eventing.publishing import resolved
from eventing.runtime import Runtime
from eventing.state import deadline_of, fold, is_dead_letter, missed, notes
from functions.accounts import Desk
from schemas import Contract, RequestMetadata, WorkflowState, contract_for

TICK = "dev.knative.sources.ping"
RECORD = "dev.knative.kafka.event"  # of the inbox
_HARMLESS = ("StepConflictError",)
UNCLOSED = "accounts"  # where the accounts are noted that are to be closed


class Tracker:
    """Folds events; holds nothing that is not in the store, but who closes accounts at this moment."""

    def __init__(self, runtime: Runtime, desk: Desk | None = None) -> None:
        self._runtime, self._desk = runtime, desk
        self._journal = runtime.journal
        self._closing = self._noted = False  # whether somebody closes accounts now, and whether more were noted since

    async def take(self, event: Event, coldstart: bool = False) -> str:
        """Note one event, or on a tick end what is overdue; says what it did."""
        if event.type == TICK:
            expired = await self.expire()
            await self._close_accounts()
            return f"expired {expired}"
        as_it_came = event
        with contextlib.suppress(EventingError):  # what cannot be had is noted without its data
            event = await resolved(event, self._runtime.store)
        request_id = event.request_id() or _named_in(event)
        if is_dead_letter(event):
            await self._runtime.dead_letters.keep(request_id, as_it_came, self._runtime.clock())
        if request_id is None:
            return "no request"
        new = await self._journal.record(request_id, event)
        events = await self._journal.events(request_id)
        state = fold(request_id, events, self._runtime.workflow)
        deadly = is_dead_letter(event) and edition_of(event) == state.edition and not self._harmless(event, events)
        if deadly and state.status == "running":
            await self.end(request_id, events, told(event))
        elif state.status == "running":
            await self._watch(request_id, events)
        await self._publish(request_id, state)
        if self._desk and event.type in self._runtime.workflow.ends and state.status != "running":
            await self._runtime.store.create(f"{UNCLOSED}/{account(request_id, state.edition)}", b"")
            await self._close_accounts()
        return "done" if new else "duplicate"

    async def _close_accounts(self) -> None:
        """Close the accounts of what has ended, as far as the scheduler answers; a later event or tick closes the rest.

        Of many ends at once, one closes for all: else each would close what the others noted.
        """
        self._noted = True
        if self._desk is None or self._closing:
            return
        self._closing = True
        try:
            while self._noted:
                self._noted = False
                for key in await self._runtime.store.keys(UNCLOSED):
                    if not await self._desk.close(key.rpartition("/")[2]):
                        return
                    await self._runtime.store.delete(key)
        finally:
            self._closing = False

    def _harmless(self, dead: Event, events: list[Event]) -> bool:
        """Whether only somebody's copy of an opening was refused: the request itself goes on."""
        if dead.type not in (self._runtime.workflow.opens, RECORD):
            return dead.get("error") in _HARMLESS
        alive = [event for event in events if not is_dead_letter(event)]
        going = any(event.get("cause") or (event.source == "/gateway" and event.id != dead.id) for event in alive)
        return going or dead.get("error") in _HARMLESS

    async def expire(self) -> int:
        """End every request whose deadline has passed; how many."""
        now, count = self._runtime.clock(), 0
        for key in await self._runtime.store.keys("deadlines"):
            _, moment, name = key.split("/")
            if datetime.fromisoformat(moment) > now:
                break
            request_id = UUID(name)
            events = await self._journal.events(request_id)
            state = fold(request_id, events, self._runtime.workflow)
            # A later edition has a later deadline, and its own entry here.
            later = state.edition and state.deadline and datetime.fromisoformat(state.deadline) > now
            if state.status == "running" and not later:
                await self.end(request_id, events, missed(datetime.fromisoformat(moment), events, state.edition))
                count += 1
            await self._runtime.store.delete(key)
        return count

    async def end(self, request_id: UUID, events: list[Event], reason: str) -> None:
        """End a request with the workflow's failure, unless it has ended otherwise; the end that is stored is published.

        Whoever claimed the end may have died before publishing it, so it is published here whoever's it is.
        """
        kind = self._runtime.workflow.fails
        if kind is None:
            return
        opening = next((notes(e) for e in events if e.type == self._runtime.workflow.opens), {})
        topic = opening.get("topic")
        failed = contract_for(kind).model_validate(
            {
                "request_id": request_id,
                "topic": topic[:2000] if isinstance(topic, str) else "",
                "reason": reason[:2000],
                "metadata": _metadata(opening.get("metadata")),
            }
        )
        opened = newest(events)
        edition = edition_of(opened) if opened else 0
        event = self._event(failed, ids.named_id(request_id, f"{kind}{suffix(edition)}")).having(edition=attribute(edition))
        await self._runtime.publisher.publish(await self._runtime.steps.end(request_id, event))

    async def _watch(self, request_id: UUID, events: list[Event]) -> None:
        latest = self._runtime.clock() + self._runtime.workflow.deadline
        deadline = min(deadline_of(events, self._runtime.workflow) or latest, latest)
        await self._runtime.watch(request_id, deadline)

    async def _publish(self, request_id: UUID, state: WorkflowState) -> None:
        data = state.model_dump_json()
        await self._runtime.publisher.publish(self._event(state, ids.named_id(request_id, data)))

    def _event(self, data: Contract, event_id: str) -> Event:
        attributes = {
            "specversion": "1.0",
            "id": event_id,
            "source": "/agents/tracker",
            "type": data.event,
            "time": self._runtime.clock().isoformat(),
            "datacontenttype": "application/json",
            "dataschema": data.dataschema(),
            "subject": str(data.request_id),
            "partitionkey": str(data.request_id),
            "requestid": str(data.request_id),
            "workflow": self._runtime.workflow.name,
            **telemetry.context(),
        }
        return Event(attributes, data.model_dump_json().encode())


def _named_in(event: Event) -> UUID | None:
    """The request that the data names: a foreign producer need not know our attributes."""
    try:
        return UUID(parsed(event.data or b"null")["request_id"])
    except (ValueError, TypeError, KeyError, AttributeError):
        return None


def _metadata(given: object) -> RequestMetadata:
    try:
        return RequestMetadata.model_validate(given or {})
    except ValidationError:
        return RequestMetadata()
