"""Dead letters as people see them, and sending a request on from where it failed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from uuid import UUID

from eventing import deadletters
from eventing.adapter import STEP_FAILED
from eventing.apis import routes
from eventing.deadletters import DeadLetter
from eventing.editions import ADDRESSEE, account, edition_of, newest
from eventing.envelope import Event
from eventing.errors import ContractError, EventingError
from eventing.redriving import Edition, Redriver
from eventing.runtime import Runtime
from eventing.state import fold, overdue
from functions.accounts import Desk
from functions.gateway import admission, reading
from inference.errors import BacklogError
from schemas import WorkflowState
from schemas import gateway as told


class NothingToRedriveError(EventingError):
    status, title = 409, "Nothing to send again"


async def letters(runtime: Runtime, agent: str | None = None, request: str | None = None) -> list[told.DeadLetter]:
    """The dead letters, of an agent and of a request where they are named; the oldest first.

    Raises:
        ContractError: the request's id is none.
    """
    if request is not None and not routes.UUID.fullmatch(request):
        raise ContractError(f"request must be a request's id, got {request[:80]!r}")
    asked = UUID(request) if request else None
    found = await runtime.dead_letters.every(asked)
    ids = dict.fromkeys(letter.request_id for letter in found if letter.request_id)
    trails = dict(zip(ids, await asyncio.gather(*map(runtime.journal.events, ids)), strict=True))
    left = {one: await _left_behind(one, trails[one], runtime) for one in ids}
    shown = [
        _shown(letter, trails[letter.request_id], left[letter.request_id], runtime)
        if letter.request_id
        else _shown(letter, [], 0, runtime)
        for letter in found
    ]
    return [letter for letter in shown if agent is None or letter.agent == agent.replace("-", "_")]


async def _left_behind(request_id: UUID, trail: list[Event], runtime: Runtime) -> int:
    """The edition that a request has gone on to, once all of it was sent: letters of earlier ones wait no more."""
    opened = newest(trail)
    begun = await Redriver(runtime, request_id).interrupted() if opened else None
    return edition_of(begun.opened) - 1 if begun else edition_of(opened) if opened else 0


def _shown(letter: DeadLetter, trail: list[Event], edition: int, runtime: Runtime) -> told.DeadLetter:
    event, workflow = letter.event, runtime.workflow
    step = deadletters.step_of(event, workflow)
    state = fold(letter.request_id, trail, workflow) if letter.request_id else None
    code = event.get("knativeerrorcode")
    return told.DeadLetter(
        request_id=letter.request_id,
        event=event.type,
        id=event.id,
        step=step.name if step else None,
        agent=step.agent if step else event.get("failedstep").replace("-", "_") or None,
        part=_number(event, "part"),
        revision=_number(event, "revision") or 0,
        edition=edition_of(event),
        reason=deadletters.reason(event),
        error=event.get("error"),
        code=int(code) if code.isdigit() else None,
        since=letter.since,
        attempts=deadletters.attempts(event, workflow),
        steps=len(state.steps) if state else 0,
        tokens=state.tokens if state else 0,
        cost=sum(step.cost for step in state.steps) if state else 0,
        currency=next((step.currency for step in state.steps if step.currency), "") if state else "",
        calls=_calls(event, step.name if step else "", trail),
        redriven=_redriven(letter, edition),
    )


def _number(event: Event, name: str) -> int | None:
    value = event.get(name)
    return int(value) if value.isdecimal() and len(value) < 10 else None


def _calls(dead: Event, step: str, trail: Iterable[Event]) -> int:
    """How many model calls of the failed step were answered, as it told itself."""
    own = [e for e in trail if e.type == STEP_FAILED and e.source.endswith(f"/{step}") and e.get("part") == dead.get("part")]
    return max((event.number("calls") or 0 for event in own), default=0)


def _redriven(letter: DeadLetter, edition: int) -> str:
    """As what it was sent again; a request that went on to another edition has left it behind."""
    return letter.redriven or (f"edition {edition}" if edition_of(letter.event) < edition else "")


async def redrive(request_id: UUID, runtime: Runtime, desk: Desk) -> told.Redriven:
    """Send a request on: its dead letters as they were, or all that is not done as a new edition.

    Raises:
        UnknownRequestError: nothing is known of it.
        NothingToRedriveError: it is running, or complete, or nothing of it is stored.
        BacklogFullError: when no more requests are taken now.
    """
    redriver = Redriver(runtime, request_id)
    trail = await reading.trail(request_id, runtime)
    state = fold(request_id, trail, runtime.workflow)
    every = await runtime.dead_letters.every(request_id)
    if (begun := await redriver.interrupted()) is not None:
        return await _carried_out(redriver, begun, every)
    pending = [letter for letter in every if not _redriven(letter, state.edition)]
    mail = any(letter.event.type in runtime.workflow.ends for letter in pending)
    partial = state.status == "complete" and state.parts_abandoned > 0 and not mail
    if state.status == "failed" or partial:
        edition = await _edition(redriver, trail, pending, partial, desk)
        return await _carried_out(redriver, edition, pending)
    if not pending:
        raise NothingToRedriveError(_why(state, runtime))
    sent = []
    for letter in pending:
        sent.append(await redriver.again(letter))
        await runtime.dead_letters.mark(letter, "again")
    return _told(request_id, state.edition, None, sent, len(pending))


async def _edition(redriver: Redriver, trail: list[Event], pending: list[DeadLetter], anew: bool, desk: Desk) -> Edition:
    """Store the next edition, once its account is open."""
    runtime = redriver.runtime
    deadline = runtime.clock() + runtime.workflow.deadline
    edition = await redriver.plan(trail, pending, anew, deadline)
    if not edition.events or (anew and not edition.opened.get("parts")):
        raise NothingToRedriveError(
            f"nothing of request {redriver.request_id} can be sent again: no event of it is stored that a step still takes; "
            "ask anew with a new request id"
        )
    try:
        await desk.open(account(redriver.request_id, edition.number), runtime.workflow.budget_tokens, deadline)
    except BacklogError as error:
        raise admission.BacklogFullError(str(error), error.after) from error
    return await redriver.store(edition)


async def _carried_out(redriver: Redriver, edition: Edition, letters: Iterable[DeadLetter]) -> told.Redriven:
    left = [letter for letter in letters if edition_of(letter.event) < edition.number and not letter.redriven]
    await redriver.carry_out(edition)
    for letter in left:
        await redriver.runtime.dead_letters.mark(letter, f"edition {edition.number}")
    return _told(redriver.request_id, edition.number, edition.opened, edition.events, len(left))


def _told(request_id: UUID, edition: int, opened: Event | None, sent: Iterable[Event], letters: int) -> told.Redriven:
    return told.Redriven(
        request_id=request_id,
        edition=edition,
        opened=opened is not None,
        deadline=opened.moment("deadline") if opened else None,
        parts=[int(part) for part in opened.get("parts").split(",") if part] if opened else [],
        letters=letters,
        sent=[
            told.SentEvent(event=e.type, id=e.id, agent=e.attributes.get(ADDRESSEE), part=_number(e, "part")) for e in sent
        ],
    )


def _why(state: WorkflowState, runtime: Runtime) -> str:
    request = f"request {state.request_id}"
    if state.status == "complete":
        return f"{request} is complete: no dead letter waits, and no part was abandoned"
    late = state.deadline is not None and overdue(state, runtime.clock()).status == "failed"
    ends = "; its deadline has passed, and the tracker ends it within minutes" if late else ""
    return f"{request} is running and no dead letter of it waits{ends}"
