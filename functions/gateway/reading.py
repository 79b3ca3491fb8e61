"""Reading back: a request's state, its trail, its report."""

from __future__ import annotations

import re
from uuid import UUID

from eventing.editions import suffix
from eventing.envelope import Event, from_json
from eventing.errors import EventingError
from eventing.runtime import Runtime
from eventing.state import fold, overdue
from functions.policy import policy
from schemas import WorkflowState

_EDITION = re.compile(r"[0-9]{1,4}")
_STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)


class UnknownRequestError(EventingError):
    status, title = 404, "No such request"


async def trail(request_id: UUID, runtime: Runtime) -> list[Event]:
    """Every event of a request that is known, in the order of their times.

    Raises:
        UnknownRequestError: when nothing is known of it.
    """
    events = await runtime.journal.events(request_id)
    if not events:
        # Admitted, but its first event has not come round through the topic yet.
        opening = await runtime.store.get(f"requests/{request_id}/request.json")
        if opening is None:
            raise UnknownRequestError(f"nothing is known of request {request_id}")
        events = [from_json(opening)]
    return events


async def state(request_id: UUID, runtime: Runtime) -> WorkflowState:
    """Where a request stands at this moment, its deadline counted exactly."""
    events = await trail(request_id, runtime)
    return overdue(fold(request_id, events, runtime.workflow), events, runtime.clock())


async def report(request_id: UUID, form: str, edition: str, runtime: Runtime) -> bytes:
    """The report of an edition (0 for the first) as `html`, `md` or `json`, or its record, as `evidence.json`.

    Raises:
        UnknownRequestError: when there is none (yet).
    """
    number = int(edition) if _EDITION.fullmatch(edition) else None
    stored = None
    if number is not None:
        stored = await runtime.store.get(f"pages/{request_id}/report{suffix(number)}.{form}")
    if stored is None:
        raise UnknownRequestError(
            f"there is no report of request {request_id} (yet); GET /research/{request_id} says where it stands"
        )
    return stored


def page_headers(page: bytes) -> dict[str, str]:
    """What the browser is told beside the page: the policy that the page itself has, and that nobody frames it."""
    style = _STYLE.search(page.decode("utf-8", "replace"))
    return {
        "Content-Security-Policy": f"{policy(style[1] if style else '')}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
