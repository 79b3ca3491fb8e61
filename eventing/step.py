"""The protocol of a step: look up, run, put if absent, publish what is stored, mark.

    result stored?       -> no: run, then put ALL answers as one object, if absent (the loser adopts the winner's)
    published already?   -> nothing to do
    publish what is STORED, each answer acknowledged -> put the `published` marker

A join is a step before the step: each part is put, if absent; then the parts are listed; whoever finds all of them performs
the step of the whole, whose input they are. "Not yet" is stored nowhere.

Whatever ends a request claims its `outcome`, if absent, with the whole event. Of the answers that end a request only the one
that is the outcome is published; who else would end it (the tracker) publishes the outcome, whoever's it is, since whoever
claimed it may have died before it did.

An edition of a request (`eventing.editions`) has an outcome of its own, and a step a `published` marker for each: what is
stored is published once more in the edition that asks for it, and is not done again.

Invariants, whatever dies wherever, with any number of workers at any moment:
  1. Every delivery of a step's event ends in the same stored answers with the same ids; an id has one payload.
  2. Nothing is published that is not stored; nothing is marked published that was not acknowledged by the broker.
  3. Once a delivery is acknowledged (204), all its answers were published: nothing is lost. What is delivered after that
     publishes nothing again.
  4. A step with another input than the one it was done with is refused, never answered with somebody else's result.
  5. A join runs with all its parts, never with fewer, and the last part's delivery finds them.
  6. A request ends once in each of its editions: one of its end events is published, with one payload.
There are no locks and no leases, so a crash leaves nothing to wait for. What an effect outside of store and broker needs
beside this is told in `eventing.mail`. tests/chaos goes through every interleaving of these effects.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import UUID

from eventing.agent import StepKey
from eventing.editions import edition_of, suffix, within
from eventing.envelope import Event, from_content, to_json, written
from eventing.errors import StepConflictError, StoreError


class Objects(Protocol):
    """What the protocol needs of a store."""

    async def create(self, key: str, data: bytes, content_type: str = ...) -> bool: ...
    async def mark(self, key: str, of: str) -> None: ...
    async def get(self, key: str) -> bytes | None: ...
    async def keys(self, prefix: str) -> list[str]: ...


Publish = Callable[[Event], Awaitable[None]]
Run = Callable[[], Awaitable[Sequence[Event]]]


@dataclass(frozen=True)
class Steps:
    """Performs steps over one store and one way to publish. `ends` are the events that end a request."""

    objects: Objects
    publish: Publish
    ends: frozenset[str] = field(default_factory=frozenset)

    async def perform(self, key: StepKey, digest: str, run: Run, cause: Event | None = None) -> str:
        """Bring a step to its published end; says how: `duplicate`, `adopted` or `done`.

        Args:
            cause: the event that asks for the step, in whose edition its answers are published.

        Raises:
            StepConflictError: the step was done with another input (`digest` differs).
        """
        result = f"{key.path()}.result.json"
        # A marker lies only where a result lies: a step that was never done costs one look, not two.
        stored = await self.objects.get(result)
        if stored is None:
            answers = [written(answer) for answer in await run()]
            if await self.objects.create(result, _result(digest, [text for text, _ in answers]), "application/json"):
                await self._publish(key, [answer for _, answer in answers], cause)
                return "done"
            stored = await self._there(result)
        record = _parsed(stored, result)
        _same_input(key, digest, record)
        if await self.objects.get(_published(key, cause)) is not None:
            return "duplicate"
        await self._publish(key, [from_content(answer) for answer in record["answers"]], cause)
        return "adopted"

    async def _publish(self, key: StepKey, answers: Sequence[Event], cause: Event | None) -> None:
        """Publish what is stored, then mark it."""
        for answer in answers:
            await self.send(key.request_id, within(answer, cause))
        await self.objects.mark(_published(key, cause), f"{key.path()}.result.json")

    async def join(self, key: StepKey, event: Event, digest: str, of: int) -> list[Event] | None:
        """Store a part of a join; all `of` parts in order once they are there, else None.

        "Incomplete" is never stored: whoever stores the last part finds all of them, since each stores before it lists.
        """
        folder = parts_of(key)
        own = f"{folder}/{key.part:03d}.json"
        if not await self.objects.create(own, b'{"digest": "%s", "event": %s}' % (digest.encode(), to_json(event))):
            _same_input(key, digest, _parsed(await self._there(own), own))
        parts = await self.objects.keys(folder)
        if len(parts) < of:
            return None
        return [from_content(_parsed(await self._there(part), part)["event"]) for part in parts]

    async def done(self, request_id: UUID) -> list[Event]:
        """The first answer of every step of the request whose result is stored, in the order of their times."""
        folder = f"requests/{request_id}/steps"
        keys = await self.objects.keys(folder)
        results = [key for key in keys if key.endswith(".result.json") and key.rpartition("/")[0] == folder]
        stored = zip(results, await asyncio.gather(*map(self._there, results)), strict=True)
        answers = [answer for key, content in stored for answer in _parsed(content, key)["answers"][:1]]
        return sorted((from_content(answer) for answer in answers), key=lambda e: (e.get("time"), e.id))

    async def ended(self, request_id: UUID, edition: int = 0) -> bool:
        """Whether the request's edition has ended: work on it would be for nothing."""
        return await self.objects.get(_outcome(request_id, edition)) is not None

    async def end(self, request_id: UUID, event: Event) -> Event:
        """The end of the request's edition as it is stored: this event, or the one that claimed it before."""
        outcome = _outcome(request_id, edition_of(event))
        text, as_read_again = written(event)
        if await self.objects.create(outcome, text, "application/json"):
            return as_read_again
        return from_content(_parsed(await self._there(outcome), "outcome"))

    async def send(self, request_id: UUID, event: Event) -> None:
        """Publish what is stored; an end only where it is the edition's."""
        if event.type in self.ends and (await self.end(request_id, event)).id != event.id:
            return
        await self.publish(event)

    async def _there(self, key: str) -> bytes:
        stored = await self.objects.get(key)
        if stored is None:
            raise StoreError(f"{key} was there a moment ago and is not now; was the bucket emptied?")
        return stored


def _result(digest: str, answers: Sequence[bytes]) -> bytes:
    return b'{"digest": "%s", "answers": [%s]}' % (digest.encode(), b", ".join(answers))


def parts_of(key: StepKey) -> str:
    """The folder of a join's parts."""
    return f"requests/{key.request_id}/steps/{key.step}/parts{suffix(key.edition)}"


def _published(key: StepKey, cause: Event | None) -> str:
    return f"{key.path()}.published{suffix(edition_of(cause)) if cause else ''}.json"


def _outcome(request_id: UUID, edition: int) -> str:
    return f"requests/{request_id}/outcome{suffix(edition)}.json"


def _same_input(key: StepKey, digest: str, record: dict[str, Any]) -> None:
    if record["digest"] != digest:
        raise StepConflictError(
            f"step {key} was done with another input (digest {record['digest'][:12]}, now {digest[:12]}): "
            "a request id belongs to one request; use a new one"
        )


def _parsed(stored: bytes, where: str) -> dict[str, Any]:
    try:
        content = json.loads(stored)
    except ValueError as error:
        raise StoreError(f"{where} holds no JSON: {error}") from error
    if not isinstance(content, dict):
        raise StoreError(f"{where} holds {type(content).__name__}, expected an object")
    return content
