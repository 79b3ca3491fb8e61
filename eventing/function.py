"""The HTTP side of an agent, as `functions_framework.aio.http` serves it: probes, metrics, one event a request, 204."""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import quote

import functions_framework.aio
from opentelemetry.trace import SpanKind
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response

from eventing import telemetry
from eventing.adapter import Adapter, Models
from eventing.agent import Agent
from eventing.envelope import Event, from_request
from eventing.errors import EventingError, PayloadTooLargeError
from eventing.runtime import Runtime

LOG = logging.getLogger("torpor")
LIMIT_BYTES = 1024 * 1024  # Eventing's producer takes no more, so nothing larger can come from a topic
Function = Callable[[Request], Awaitable[Response]]


def serve(agent: Agent, runtime: Runtime, models: Models) -> Function:
    """The HTTP function of an agent."""
    telemetry.start(agent.name, runtime.environ)
    adapter = Adapter(agent, runtime, models)

    async def take(event: Event, coldstart: bool) -> str:
        with telemetry.span(f"process {event.type}", event.attributes, **_attributes(agent.name, event, coldstart)):
            return await adapter.take(event, coldstart)

    return takes_events(agent.name, take)


def takes_events(name: str, take: Callable[[Event, bool], Awaitable[str]]) -> Function:
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
            status = await take(event, request.headers.get("torpor-coldstart") == "true")
        except Exception as error:
            return failed(name, error, event)
        telemetry.REQUESTS.labels(name, "success" if status == "done" else status).inc()
        return Response(status_code=204)

    function.__name__ = "function"
    return cast(Function, functions_framework.aio.http(function))


def answer_standing(request: Request) -> Response | None:
    """The answer to a probe or a scrape, or None when the request is neither."""
    if request.method != "GET":
        return None
    path = request.url.path
    if path in ("/health/liveness", "/health/readiness"):
        return Response("ok\n", media_type="text/plain")
    if path == "/metrics":
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
    return None


async def body_of(request: Request, limit: int = LIMIT_BYTES) -> bytes:
    """The request's body.

    Raises:
        PayloadTooLargeError: as soon as more than `limit` bytes have come, or are announced.
    """
    announced = request.headers.get("content-length", "")
    body = bytearray()
    if not (announced.isdigit() and int(announced) > limit):
        async for chunk in request.stream():
            body += chunk
            if len(body) > limit:
                break
        else:
            return bytes(body)
    raise PayloadTooLargeError(
        f"the body is larger than {limit} bytes; send large data to the bucket and its key as `dataref`"
    )


def problem(content: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    """A problem+json answer (RFC 9457)."""
    body = json.dumps({"type": "about:blank", **content}).encode()
    return Response(body, content["status"], headers, media_type="application/problem+json")


def failed(name: str, error: Exception, event: Event | None) -> Response:
    """The answer to a failed delivery: its code says whether to try again, its `Kne-` headers become the dead letter's."""
    status = int(getattr(error, "status", 500))
    telemetry.REQUESTS.labels(name, "refused" if 400 <= status < 500 else "error").inc()
    LOG.warning("%s failed on %s: %s", name, event.id if event else "a request that is no event", error)
    if isinstance(error, EventingError):
        content = error.problem()
    else:
        content = {"title": type(error).__name__, "status": status, "detail": str(error)}
    reason = quote(str(error)[:500], safe=" !#$&'()*+,-./:;<=>?@[]^_`{|}~")[:900].strip()
    return problem(content, {"Kne-Failedstep": name, "Kne-Reason": reason, "Kne-Error": type(error).__name__})


def _attributes(name: str, event: Event, coldstart: bool) -> dict[str, Any]:
    """Span attributes by OpenTelemetry's conventions for CloudEvents and FaaS; `__` stands for a dot."""
    return {
        "kind": SpanKind.CONSUMER,
        "faas__name": name,
        "faas__coldstart": coldstart,
        "faas__trigger": "pubsub",
        "cloudevents__event_id": event.id,
        "cloudevents__event_type": event.type,
        "cloudevents__event_source": event.source,
        "torpor__request_id": event.get("requestid"),
    }
