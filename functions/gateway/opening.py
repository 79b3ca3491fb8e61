"""What opens a workflow's requests, and what a request ended with: whatever its contracts are."""

from __future__ import annotations

import json
import types
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from eventing.editions import edition_of
from eventing.errors import EventingError
from eventing.runtime import Runtime
from functions.gateway import reading
from schemas import Contract, ResearchQuery, contract_for
from schemas.gateway import ResearchRequest


class NoAnswerError(EventingError):
    status, title = 404, "No answer"


def contract(runtime: Runtime) -> type[Contract]:
    return contract_for(runtime.workflow.opens)


@cache
def asked(opens: type[Contract]) -> type[BaseModel]:
    """What people send: the opening contract, where the request id may be absent and nothing may be unknown."""
    if opens is ResearchQuery:
        return ResearchRequest
    content = {
        "__module__": __name__,
        "__doc__": opens.__doc__,
        "__annotations__": {"request_id": UUID | None},
        "request_id": None,
        "model_config": ConfigDict(extra="forbid"),
    }
    made: type[BaseModel] = types.new_class(f"{opens.__name__}Request", (opens,), {}, lambda body: body.update(content))
    return made


async def answer(request_id: UUID, runtime: Runtime) -> dict[str, Any]:
    """The data of the event that ended a request.

    Raises:
        NoAnswerError: when it has not ended, or nothing of its end is stored.
    """
    events = [e for e in await reading.trail(request_id, runtime) if e.type in runtime.workflow.ends]
    for event in sorted(events, key=lambda e: (-edition_of(e), runtime.workflow.ends.index(e.type))):
        step = event.source.rpartition("/")[2]
        folder = f"requests/{request_id}/steps"
        for key in await runtime.store.keys(folder):
            if key.startswith(f"{folder}/{step}.") and key.endswith(".result.json") and key.rpartition("/")[0] == folder:
                made = json.loads(await runtime.store.get(key) or b"{}").get("answers", [])
                if found := next((one["data"] for one in made if one["id"] == event.id), None):
                    return dict(found)
    state = await reading.state(request_id, runtime)
    why = f": {state.reason}" if state.reason else ""
    raise NoAnswerError(f"request {request_id} is {state.status} and has no answer{why}")
