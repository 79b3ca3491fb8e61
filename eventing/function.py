"""The HTTP side of an agent, as `functions_framework.aio.http` serves it: probes, metrics, one event a request, 204."""

from __future__ import annotations

import logging
import math
import os
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast
from urllib.parse import quote

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from eventing import metrics, telemetry
from eventing.adapter import Adapter, Models
from eventing.agent import Agent
from eventing.envelope import Event, from_request
from eventing.errors import EventingError
from eventing.http import body_of, problem
from eventing.runtime import Runtime

LOG = logging.getLogger("torpor")
UNASKED_S = 0.2  # an event for which a function was woken has come by then
Function = Callable[[Request], Awaitable[Response]]
Take = Callable[[Event, bool], Awaitable[str]]


def serve(agent: Agent, runtime: Runtime, models: Models) -> Function:
    """The HTTP function of an agent."""
    telemetry.start(agent.name, runtime.environ)
    return takes_events(agent.name, Adapter(agent, runtime, models).take)


def takes_events(name: str, take: Take) -> Function:
    """An HTTP function that hands each event to `take` and answers 204, or the error that it raised."""

    async def function(request: Request) -> Response:
        if (standing := answer_standing(request)) is not None:
            return standing
        if request.method != "POST":
            return problem(
                {"title": "Method not allowed", "status": 405, "detail": "POST one CloudEvent"}, {"Allow": "POST"}
            )
        try:
            event = from_request(request.headers, await body_of(request))
        except EventingError as error:
            return failed(name, error, None)
        try:
            status = await _traced(name, event, woken(name, request), take)
        except Exception as error:
            return failed(name, error, event)
        telemetry.REQUESTS.add(name, "success" if status == "done" else status)
        return Response(status_code=204)

    function.__name__ = "function"
    return cast(Function, functions_framework.aio.http(function))


def prepare_soon(*preparing: Callable[[], None]) -> None:
    """Where the function is served: call these in a thread of its own once it has been awake for a moment."""
    if "K_SERVICE" not in os.environ:
        return

    def prepare() -> None:
        for one in preparing:
            one()

    timer = threading.Timer(UNASKED_S, prepare)
    timer.daemon = True
    timer.start()


def answer_standing(request: Request) -> Response | None:
    """The answer to a probe or a scrape, or None when the request is neither."""
    if request.method != "GET":
        return None
    path = request.url.path
    if path in ("/health/liveness", "/health/readiness"):
        return Response("ok\n", media_type="text/plain")
    if path == "/metrics":
        return Response(metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})
    return None


def failed(name: str, error: Exception, event: Event | None) -> Response:
    """The answer to a failed delivery: its code says whether to try again, its `Kne-` headers become the dead letter's."""
    status = int(getattr(error, "status", 500))
    telemetry.REQUESTS.add(name, "refused" if 400 <= status < 500 else "error")
    LOG.warning("%s failed on %s: %s", name, event.id if event else "a request that is no event", error)
    if isinstance(error, EventingError):
        content = error.problem()
    else:
        content = {"title": type(error).__name__, "status": status, "detail": str(error)}
    reason = quote(str(error)[:500], safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")[:900].strip()
    after: float | None = getattr(error, "after", None)
    wait = {"Retry-After": str(math.ceil(after))} if after else {}
    return problem(content, {"Kne-Failedstep": name, "Kne-Reason": reason, "Kne-Error": type(error).__name__, **wait})


async def _traced(name: str, event: Event, wake_s: float | None, take: Take) -> str:
    """Take an event within a span; `wake_s` is how long it waited for this process to wake."""
    about = partial(_attributes, name, event, wake_s is not None)
    with telemetry.span(f"process {event.type}", event.attributes, about=about) as span:
        if wake_s is not None:
            span.event("woken", {"torpor.wake_seconds": wake_s})
        status = await take(event, wake_s is not None)
        span.set({"torpor.outcome": status})
    return status


def woken(name: str, request: Request) -> float | None:
    """How long the request was held while the function woke, or None when it was awake."""
    if request.headers.get("torpor-coldstart") != "true":
        return None
    try:
        waited = float(request.headers.get("torpor-wake-seconds", ""))
    except ValueError:
        waited = 0.0
    telemetry.WAKES.add(name)
    telemetry.WOKEN.add(name, by=waited)
    return waited


def _attributes(name: str, event: Event, coldstart: bool) -> dict[str, Any]:
    """Span attributes by OpenTelemetry's conventions for messaging, FaaS and CloudEvents."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": event.type,
        "messaging.message.id": event.id,
        "messaging.message.conversation_id": event.get("requestid"),
        "messaging.message.body.size": len(event.data or b""),
        "faas.name": name,
        "faas.trigger": "pubsub",
        "faas.coldstart": coldstart,
        "cloudevents.event_id": event.id,
        "cloudevents.event_type": event.type,
        "cloudevents.event_source": event.source,
        "cloudevents.event_spec_version": event.get("specversion"),
        "cloudevents.event_subject": event.get("subject"),
        "torpor.request_id": event.get("requestid"),
        "torpor.part": event.get("part"),
        "torpor.revision": event.get("revision"),
    }
