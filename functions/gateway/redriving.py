"""Sending a request on from where it failed: its dead letters as they were, or all that is not done as a new edition."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from uuid import UUID

from eventing.deadletters import DeadLetter
from eventing.editions import ADDRESSEE, account, edition_of
from eventing.envelope import Event
from eventing.errors import EventingError
from eventing.redriving import Edition, Redriver
from eventing.runtime import Runtime
from eventing.state import fold, is_late
from functions.accounts import Desk
from functions.gateway import admission, reading
from functions.gateway.letters import again, number
from inference.errors import BacklogError
from schemas import WorkflowState
from schemas import gateway as told


class NothingToRedriveError(EventingError):
    status, title = 409, "Nothing to send again"


@dataclass(frozen=True)
class Plan:
    """What is to be sent: an edition that is stored already or is `fresh`, or letters within the edition that there is."""

    edition: Edition | None = None
    fresh: bool = False
    letters: list[DeadLetter] = field(default_factory=list)


async def planned(request_id: UUID, runtime: Runtime) -> told.Redriven:
    """What would be sent; nothing is.

    Raises:
        UnknownRequestError: nothing is known of the request.
        NothingToRedriveError: it is running, or complete, or nothing of it is stored.
    """
    redriver = Redriver(runtime, request_id)
    state, plan = await _plan(redriver)
    if plan.edition:
        return _told(request_id, plan.edition.number, plan.edition.opened, plan.edition.events, len(plan.letters))
    return _told(request_id, state.edition, None, map(redriver.revived, plan.letters), len(plan.letters))


async def redrive(request_id: UUID, runtime: Runtime, desk: Desk) -> told.Redriven:
    """Send a request on; what was sent.

    Raises:
        UnknownRequestError, NothingToRedriveError: as `planned` does.
        BacklogFullError: when no more requests are taken now; nothing was sent.
    """
    redriver = Redriver(runtime, request_id)
    state, plan = await _plan(redriver)
    if plan.edition is None:
        sent = [await redriver.again(letter) for letter in plan.letters]
        return _told(request_id, state.edition, None, sent, len(sent))
    edition = await _stored(redriver, plan.edition, desk) if plan.fresh else plan.edition
    await redriver.carry_out(edition)
    for letter in plan.letters:
        await runtime.dead_letters.mark(letter, f"edition {edition.number}")
    return _told(request_id, edition.number, edition.opened, edition.events, len(plan.letters))


async def _plan(redriver: Redriver) -> tuple[WorkflowState, Plan]:
    runtime, request_id = redriver.runtime, redriver.request_id
    # The editions are counted before the trail is read: of two who ask at once, one stores and the other finds it stored.
    count, begun = await redriver.newest()
    trail = await reading.trail(request_id, runtime)
    state = fold(request_id, trail, runtime.workflow)
    every = await runtime.dead_letters.every(request_id)
    if begun is not None and (state.edition < begun.number or state.status == "running"):
        return state, Plan(begun, letters=_unsent(every, begun.number))
    pending = [letter for letter in every if not again(letter, state.edition)]
    mail = any(letter.event.type in runtime.workflow.ends for letter in pending)
    partial = state.status == "complete" and state.parts_abandoned > 0 and not mail
    if state.status == "failed" or partial:
        edition = await redriver.plan(count + 1, trail, every, partial)
        if not edition.events or (partial and not edition.opened.get("parts")):
            raise NothingToRedriveError(
                f"nothing of request {request_id} can be sent again: no event of it is stored that a step still takes; "
                "ask anew with a new request id"
            )
        return state, Plan(edition, True, _unsent(every, edition.number))
    if not pending or is_late(state, runtime.clock()):
        raise NothingToRedriveError(_why(state, runtime))
    return state, Plan(letters=pending)


def _unsent(letters: Iterable[DeadLetter], edition: int) -> list[DeadLetter]:
    return [letter for letter in letters if edition_of(letter.event) < edition and not letter.redriven]


async def _stored(redriver: Redriver, edition: Edition, desk: Desk) -> Edition:
    """The edition as it is stored, once its account is open."""
    deadline = edition.opened.moment("deadline")
    assert deadline
    try:
        await desk.open(account(redriver.request_id, edition.number), redriver.runtime.workflow.budget_tokens, deadline)
    except BacklogError as error:
        raise admission.BacklogFullError(str(error), error.after) from error
    return await redriver.store(edition)


def _told(request_id: UUID, edition: int, opened: Event | None, sent: Iterable[Event], letters: int) -> told.Redriven:
    return told.Redriven(
        request_id=request_id,
        edition=edition,
        opened=opened is not None,
        deadline=opened.moment("deadline") if opened else None,
        parts=[int(part) for part in opened.get("parts").split(",") if part] if opened else [],
        letters=letters,
        sent=[
            told.SentEvent(event=e.type, id=e.id, agent=e.attributes.get(ADDRESSEE), part=number(e, "part")) for e in sent
        ],
    )


def _why(state: WorkflowState, runtime: Runtime) -> str:
    request = f"request {state.request_id}"
    if state.status == "complete":
        return f"{request} is complete: no dead letter waits, and no part was abandoned"
    if is_late(state, runtime.clock()):
        return f"{request} is still running, its deadline has passed, and the tracker ends it within minutes: try again then"
    return f"{request} is running and no dead letter of it waits"
