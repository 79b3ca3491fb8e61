"""One trace over all hops, and the counters of a function. Trace context (W3C) travels in the events.

OpenTelemetry's SDK is loaded where OTEL_EXPORTER_OTLP_ENDPOINT says where spans go, and nowhere else: an agent that wakes
has no time for what nobody looks at. Without it a trace's context is still passed on, from event to event.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Literal, Protocol

from eventing.metrics import Counter, Histogram

REQUESTS = Counter("agent_requests_total", "Events that an agent was given, by how it ended", ["agent", "status"])
DURATION = Histogram(
    "agent_step_duration_seconds",
    "How long an agent worked on an event",
    ["agent", "step"],
    (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
TOKENS = Counter("agent_tokens_total", "Tokens that an agent's model calls used", ["agent", "model", "type"])
COST = Counter("agent_cost_total", "What they cost, as the scheduler says", ["agent", "model", "currency"])
WAKES = Counter("agent_wakes_total", "Events that a process woke for", ["agent"])
WOKEN = Counter("agent_wake_seconds_total", "How long events waited for an agent to wake", ["agent"])

About = Callable[[], Mapping[str, Any]]
Kind = Literal["consumer", "producer", "server", "client", "internal"]
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NOTHING: Mapping[str, str] = MappingProxyType({})
_passed_on: ContextVar[Mapping[str, str]] = ContextVar("torpor_trace", default=_NOTHING)
_tracing: Any = None  # the module `eventing.tracing`, once spans are exported


class Span(Protocol):
    """What may be said of a piece of work while it goes on."""

    def set(self, attributes: Mapping[str, Any]) -> None:
        """Add attributes."""
        ...

    def event(self, name: str, attributes: Mapping[str, Any]) -> None: ...


class _Unseen:
    """A span that nobody looks at; what is known of its trace is passed on."""

    def __init__(self, carrier: Mapping[str, str] | None) -> None:
        self._carrier = carrier

    def __enter__(self) -> _Unseen:
        self._token = _passed_on.set(_parent(self._carrier) or _passed_on.get() or _begun())
        return self

    def __exit__(self, *_: object) -> None:
        _passed_on.reset(self._token)

    def set(self, attributes: Mapping[str, Any]) -> None: ...

    def event(self, name: str, attributes: Mapping[str, Any]) -> None: ...


def start(service: str, environ: Mapping[str, str] = os.environ) -> None:
    """Set the process's tracer up, once; spans are exported where OTEL_EXPORTER_OTLP_ENDPOINT is set.

    Raises:
        ConfigurationError: when the endpoint is set and the exporter (`torpor[otlp]`) is not installed.
    """
    global _tracing
    named = environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if _tracing is None and named and environ.get("OTEL_SDK_DISABLED", "").lower() != "true":
        from eventing import tracing

        tracing.start(service)
        _tracing = tracing


def span(
    name: str, carrier: Mapping[str, str] | None = None, kind: Kind = "consumer", about: About = dict
) -> AbstractContextManager[Span]:
    """A span; its parent is the `traceparent` of the carrier where it has one, else the span around it.

    Args:
        about: gives its attributes, and is called only where spans are exported; what is None or empty is left out.
    """
    return _Unseen(carrier) if _tracing is None else _tracing.span(name, carrier, kind, about())


def context() -> dict[str, str]:
    """`traceparent` (and `tracestate`) of the current span, for an event or a request that leaves."""
    return dict(_passed_on.get()) if _tracing is None else _tracing.context()


def _parent(carrier: Mapping[str, str] | None) -> dict[str, str]:
    """What the carrier says of its trace; nothing recorded here, so it is passed on as it came."""
    if carrier is None or not _TRACEPARENT.fullmatch(parent := carrier.get("traceparent") or ""):
        return {}
    state = carrier.get("tracestate")
    return {"traceparent": parent, "tracestate": state} if state else {"traceparent": parent}


def _begun() -> dict[str, str]:
    return {"traceparent": f"00-{os.urandom(16).hex()}-{os.urandom(8).hex()}-01"}
