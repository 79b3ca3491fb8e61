"""A request's progress, and its models' words as they are said, as server-sent events.

Every event's id says everything that was sent before it and with it, so that whoever comes back with one as Last-Event-ID
goes on exactly there, whichever process answers: `<request><progress events...>~<the scheduler's cursor>`, six characters
for the request and for each event. It is no position in a list: a late event can stand before others by its time.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID

from eventing.editions import account, edition_of, newest
from eventing.envelope import Event
from eventing.runtime import Runtime
from eventing.state import death_of, fold, notes, overdue
from eventing.workflow import Workflow
from functions.accounts import Desk
from functions.gateway import reading
from inference.accounts import is_cursor

LOOK_EVERY_S = 0.25
HEARTBEAT_EVERY_S = 10.0
ASK_AGAIN_S = 5.0  # when the scheduler did not answer
RETRY_MS = 1000
WIDTH = 6  # characters of a hash
LONGEST_ID = 7_000  # a client could not send more back in a header; one that comes back then gets some events again
_POSITION = re.compile(r"((?:[A-Za-z0-9_-]{6})+)~([0-9rd.]*)")
_CALL = re.compile(r"[^/]+/(?P<step>[^/#]+)/(?P<part>-|\d{1,9})\.(?P<revision>\d{1,9})#\d+\.\d+(?:~[0-9a-f]{12})?")


class Position:
    """What was sent to a client: the progress events, and how much of the models' words."""

    def __init__(self, request: str, last: str | None) -> None:
        """Of a client that comes back with a Last-Event-ID; with none, or none of ours, it is a beginning."""
        self._request = _hash(request)
        self._sent: dict[str, None] = {}
        self.cursor = ""
        if last and (found := _POSITION.fullmatch(last)) and is_cursor(found[2]):
            request, *sent = (found[1][n : n + WIDTH] for n in range(0, len(found[1]), WIDTH))
            if request == self._request:
                self._sent, self.cursor = dict.fromkeys(sent), found[2]

    def __str__(self) -> str:
        return f"{self._request}{''.join(self._sent)}~{self.cursor}"

    def new(self, event: Event) -> bool:
        """Whether an event was not sent yet; it counts as sent from now on."""
        name = _hash(f"{event.source}\n{event.id}\n{death_of(event)}")
        known = name in self._sent
        self._sent[name] = None
        return not known


def lasts(time_limit_s: float) -> float:
    """Seconds after which a stream ends by itself, before the function's time limit cuts it."""
    return max(0.9 * time_limit_s, time_limit_s - 5.0)


async def progress(request_id: UUID, runtime: Runtime, desk: Desk, last: str | None, lasts_s: float) -> AsyncIterator[str]:
    """A request's events and its models' words, until it ends or `lasts_s` are over.

    Args:
        last: the Last-Event-ID of a client that comes back.
    """
    clock = asyncio.get_running_loop().time
    until, heard = clock() + lasts_s, clock()
    # A request that goes on as another edition has another account, and is told from its beginning.
    opened = newest(await reading.trail(request_id, runtime))
    stream = _Stream(account(request_id, edition_of(opened) if opened else 0), runtime, desk, last)
    yield f"retry: {RETRY_MS}\n\n"
    while True:
        events = await reading.trail(request_id, runtime)
        for message in [*stream.progress(events), *await stream.words()]:
            heard = clock()
            yield message
        now = overdue(fold(request_id, events, runtime.workflow), events, runtime.clock())
        if now.status != "running":
            yield f"event: end\ndata: {now.model_dump_json()}\n\n"
            return
        if clock() + LOOK_EVERY_S > until:
            yield f": there is more; come back with Last-Event-ID\nretry: {RETRY_MS}\n\n"
            return
        await asyncio.sleep(LOOK_EVERY_S)
        if clock() - heard >= HEARTBEAT_EVERY_S:
            heard = clock()
            yield ": still running\n\n"


class _Stream:
    """What is sent to one client."""

    def __init__(self, request: str, runtime: Runtime, desk: Desk, last: str | None) -> None:
        self._account, self._workflow, self._desk = request, runtime.workflow, desk
        self._position, self._ask_at = Position(request, last), 0.0

    def progress(self, events: list[Event]) -> Iterator[str]:
        for event in events:
            if self._position.new(event):
                yield self._message(event.type, {**event.attributes, "notes": notes(event)})

    async def words(self) -> list[str]:
        """What was said since; nothing while the scheduler is away, which then is asked more rarely."""
        clock = asyncio.get_running_loop().time
        if clock() < self._ask_at:
            return []
        found = await self._desk.said(self._account, self._position.cursor)
        if found is None:
            self._ask_at = clock() + ASK_AGAIN_S
            return []
        messages = []
        for piece in found.get("calls") or ():
            self._move(piece.get("cursor"))
            messages.append(self._message("tokens", told(piece, self._workflow)))
        self._move(found.get("cursor"))
        return messages

    def _move(self, cursor: object) -> None:
        if isinstance(cursor, str) and is_cursor(cursor):
            self._position.cursor = cursor

    def _message(self, kind: str, data: dict[str, Any]) -> str:
        """One server-sent event. JSON escapes whatever a model said: line ends and control characters above all."""
        position = str(self._position)
        named = f"id: {position}\n" if len(position) <= LONGEST_ID else ""
        return f"{named}event: {kind}\ndata: {json.dumps(data)}\n\n"


def told(piece: dict[str, Any], workflow: Workflow) -> dict[str, Any]:
    """A piece of what a call says, with whose call it is where its key tells that."""
    place: dict[str, Any] = {}
    if found := _CALL.fullmatch(str(piece["call"])):
        agent = next((step.agent for step in workflow.steps if step.name == found["step"]), None)
        place = {"step": found["step"], "agent": agent, "revision": int(found["revision"])}
        place["part"] = None if found["part"] == "-" else int(found["part"])
    return {"call": piece["call"], **place, **{name: piece[name] for name in ("at", "text", "done")}}


def _hash(text: str) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(text.encode("utf-8", "replace")).digest())[:WIDTH].decode()
