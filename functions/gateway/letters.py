"""Dead letters as people see them: page by page, each with what is worth knowing of its request."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from eventing import deadletters
from eventing.apis import routes
from eventing.deadletters import DeadLetter, Place
from eventing.editions import edition_of, newest
from eventing.envelope import Event
from eventing.errors import ContractError
from eventing.redriving import Redriver
from eventing.runtime import Runtime
from eventing.state import STEP_FAILED, fold
from schemas import gateway as told

PAGE = 100  # letters
LOOKED_AT = 1_000  # places that one page looks at, however few of them it shows
AT_ONCE = 20


@dataclass(frozen=True)
class Asked:
    """Which letters are wanted: of an agent, of a request, those that were `sent` again too, and after which one."""

    agent: str | None = None
    request: UUID | None = None
    sent: bool = False
    after: str = ""

    @classmethod
    def of(cls, query: dict[str, str]) -> Asked:
        """What a query asks for.

        Raises:
            ContractError: naming the parameter and what would be right.
        """
        request, after, sent = query.get("request"), query.get("after"), query.get("sent", "false")
        if request is not None and not routes.UUID.fullmatch(request):
            raise ContractError(f"request must be a request's id, got {request[:80]!r}")
        if after is not None and not deadletters.NAME.fullmatch(after):
            raise ContractError(f"after must be the `next` of another page, got {after[:80]!r}")
        if sent not in ("true", "false"):
            raise ContractError(f"sent must be true or false, got {sent[:80]!r}")
        agent = query.get("agent")
        return cls(agent and agent.replace("-", "_"), UUID(request) if request else None, sent == "true", after or "")


async def page(runtime: Runtime, asked: Asked) -> told.DeadLetters:
    """The next letters, the oldest first; only these are ever held at once."""
    places = await runtime.dead_letters.places(asked.request)
    begin = bisect_right(places, asked.after, key=lambda place: place.name)
    found: list[told.DeadLetter] = []
    for at in range(begin, min(begin + LOOKED_AT, len(places)), AT_ONCE):
        batch = places[at : at + AT_ONCE]
        shown = await asyncio.gather(*(_shown(place, runtime, asked) for place in batch))
        found += [letter for letter in shown if letter]
        if len(found) >= PAGE and at + AT_ONCE < len(places):
            return told.DeadLetters(letters=found, next=batch[-1].name)
    more = begin + LOOKED_AT < len(places)
    return told.DeadLetters(letters=found, next=places[begin + LOOKED_AT - 1].name if more else None)


async def _shown(place: Place, runtime: Runtime, asked: Asked) -> told.DeadLetter | None:
    """A letter, unless it is none that is asked for."""
    if place.sent and not asked.sent:
        return None
    letter = await runtime.dead_letters.read(place)
    event, workflow = letter.event, runtime.workflow
    step = deadletters.step_of(event, workflow)
    agent = step.agent if step else event.get("failedstep").replace("-", "_") or None
    if asked.agent not in (None, agent):
        return None
    trail = await runtime.journal.events(letter.request_id) if letter.request_id else []
    redriven = again(letter, await _left_behind(letter.request_id, trail, runtime)) if letter.request_id else ""
    if redriven and not asked.sent:
        return None
    state = fold(letter.request_id, trail, workflow) if letter.request_id else None
    code = event.get("knativeerrorcode")
    return told.DeadLetter(
        letter=place.name,
        request_id=letter.request_id,
        event=event.type,
        id=event.id,
        step=step.name if step else None,
        agent=agent,
        part=number(event, "part"),
        revision=number(event, "revision") or 0,
        edition=edition_of(event),
        reason=deadletters.reason(event),
        error=event.get("error"),
        code=int(code) if code.isdecimal() and len(code) < 4 else None,
        since=letter.since,
        attempts=deadletters.attempts(event, workflow),
        steps=len(state.steps) if state else 0,
        tokens=state.tokens if state else 0,
        cost=sum(step.cost for step in state.steps) if state else 0,
        currency=next((step.currency for step in state.steps if step.currency), "") if state else "",
        calls=_calls(event, step.name if step else "", trail),
        redriven=redriven,
    )


async def _left_behind(request_id: UUID, trail: list[Event], runtime: Runtime) -> int:
    """The edition that a request has gone on to, once all of it was sent: letters of earlier ones wait no more."""
    if (opened := newest(trail)) is None:
        return 0
    _, begun = await Redriver(runtime, request_id).newest()
    return edition_of(begun.opened) - 1 if begun else edition_of(opened)


def again(letter: DeadLetter, edition: int) -> str:
    """As what it was sent again; a request that went on to another edition has left it behind."""
    return letter.redriven or (f"edition {edition}" if edition_of(letter.event) < edition else "")


def number(event: Event, name: str) -> int | None:
    """An attribute as a number; None where it is none."""
    value = event.get(name)
    return int(value) if value.isdecimal() and len(value) < 10 else None


def _calls(dead: Event, step: str, trail: Iterable[Event]) -> int:
    """How many model calls of the failed step were answered, as it told itself."""
    own = [e for e in trail if e.type == STEP_FAILED and e.source.endswith(f"/{step}") and e.get("part") == dead.get("part")]
    return max((event.number("calls") or 0 for event in own), default=0)
