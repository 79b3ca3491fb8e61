"""Taking a request in: validate it, open its account, store its opening event, publish what is stored."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID, uuid4

from pydantic import BaseModel, ValidationError

from eventing import ids, telemetry
from eventing.adapter import validated
from eventing.envelope import Event, from_json, to_json
from eventing.envelope import parsed as json_of
from eventing.errors import ContractError, EventingError
from eventing.mistakes import faults
from eventing.runtime import Runtime
from functions.accounts import Desk
from functions.gateway import opening
from inference.errors import BacklogError
from schemas import Contract

ASK_AGAIN_S = 30.0


class RequestTakenError(EventingError):
    """The request id belongs to a request with another content."""

    status, title = 409, "Request id is taken"


class BacklogFullError(EventingError):
    """As many requests are open as the platform takes; `after` so many seconds it is worth asking again."""

    status, title = 429, "Too many requests"

    def __init__(self, told: str, after: float | None) -> None:
        self.after = after or ASK_AGAIN_S
        super().__init__(f"{told} (in {self.after:.0f} s); nothing was taken")


class NotJSONError(EventingError):
    status, title = 400, "Not JSON"


def parsed(body: bytes, runtime: Runtime) -> BaseModel:
    """The request in a JSON body, as the workflow's opening contract has it.

    Raises:
        NotJSONError: when it is no JSON.
        ContractError: naming each field that breaks a rule.
    """
    try:
        json_of(body)
    except ValueError as error:
        raise NotJSONError(f"the body is no JSON: {error}") from None
    with _telling():
        return opening.asked(opening.contract(runtime)).model_validate_json(body)


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise ContractError("the request breaks its contract", faults(error)) from error


async def admit(request: BaseModel, runtime: Runtime, desk: Desk, request_id: UUID | None = None) -> UUID:
    """Publish a request's opening event, once; its request id.

    Raises:
        RequestTakenError: when its id belongs to another request.
        BacklogFullError: when no more requests are taken now.
    """
    given = dict(request)
    given["request_id"] = given["request_id"] or request_id or uuid4()
    query = opening.contract(runtime).model_validate(given)
    return await publish(query, {}, runtime, desk)


async def admit_event(event: Event, runtime: Runtime, desk: Desk) -> UUID:
    """Publish an opening event that somebody sent as a CloudEvent, once; its request id.

    Raises:
        ContractError: when it is of another type, or breaks the contract.
        BacklogFullError: when no more requests are taken now.
    """
    if event.type != runtime.workflow.opens:
        raise ContractError(f"the gateway takes events of type {runtime.workflow.opens}, got {event.type[:80]!r}")
    query = validated(event, opening.contract(runtime))
    with _telling():  # nor may an event ask what a person may not
        opening.asked(opening.contract(runtime)).model_validate(dict(query))
    kept = {name: event.get(name) for name in ("traceparent", "tracestate", "targetversion", "deadline") if event.get(name)}
    event.moment("time")
    if deadline := event.moment("deadline"):
        kept["deadline"] = min(deadline, runtime.clock() + runtime.workflow.deadline).isoformat()
    return await publish(query, kept, runtime, desk)


async def publish(query: Contract, kept: dict[str, str], runtime: Runtime, desk: Desk) -> UUID:
    """Store the opening event unless it is there, then publish what is stored."""
    event = _opening(query, kept, runtime)
    key = f"requests/{query.request_id}/request.json"
    await _account(key, event, runtime, desk)
    if not await runtime.store.create(key, to_json(event), "application/json"):
        stored = from_json(await runtime.store.get(key) or b"")
        if _content(stored) != _content(event):
            raise RequestTakenError(f"request_id {query.request_id} belongs to a request with another content: use a new id")
        event = stored
    runtime.waker.coming(event.type)
    await runtime.publisher.publish(event)
    return query.request_id


async def _account(key: str, event: Event, runtime: Runtime, desk: Desk) -> None:
    """Open the request's account, unless the request was taken before: it may have ended since."""
    if not desk.there or await runtime.store.get(key) is not None:
        return
    deadline = event.moment("deadline") or runtime.clock() + runtime.workflow.deadline
    try:
        await desk.open(event.get("requestid"), runtime.workflow.budget_tokens, deadline)
    except BacklogError as error:
        raise BacklogFullError(str(error), error.after) from error


def _opening(query: Contract, kept: dict[str, str], runtime: Runtime) -> Event:
    now = runtime.clock()
    data = query.model_dump_json(exclude_none=True).encode()
    attributes = {
        "specversion": "1.0",
        "id": ids.named_id(query.request_id, query.event),
        "source": "/gateway",
        "type": query.event,
        "time": now.isoformat(),
        "datacontenttype": "application/json",
        "dataschema": query.dataschema(),
        "subject": str(query.request_id),
        "partitionkey": str(query.request_id),
        "requestid": str(query.request_id),
        "deadline": (now + runtime.workflow.deadline).isoformat(),
        "budgettokens": str(runtime.workflow.budget_tokens),
        "workflow": runtime.workflow.name,
        **telemetry.context(),
    }
    return Event(attributes | kept, data)


def _content(event: Event) -> Any:
    return json.loads(event.data or b"null")
