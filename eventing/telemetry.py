"""One trace over all hops, and the counters of a function. Trace context (W3C) travels in the events."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from prometheus_client import Counter, Histogram

REQUESTS = Counter("agent_requests_total", "Events that an agent was given, by how it ended", ["agent", "status"])
DURATION = Histogram(
    "agent_step_duration_seconds",
    "How long an agent worked on an event",
    ["agent", "step"],
    buckets=(0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300),
)
TOKENS = Counter("agent_tokens_total", "Tokens that an agent's model calls used", ["agent"])

_PROPAGATOR = TraceContextTextMapPropagator()


def start(service: str, environ: Mapping[str, str] = os.environ) -> None:
    """Set the process's tracer up, once; spans are exported where OTEL_EXPORTER_OTLP_ENDPOINT is set.

    Raises:
        ConfigurationError: when the endpoint is set and the exporter (`torpor[otlp]`) is not installed.
    """
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    provider = TracerProvider(resource=Resource({"service.name": service, "service.namespace": "torpor"}))
    if environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        _export(provider)
    trace.set_tracer_provider(provider)


def _export(provider: TracerProvider) -> None:
    from eventing.errors import ConfigurationError

    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the exporter is not installed: pip install 'torpor[otlp]'"
        ) from error
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))


@contextmanager
def span(
    name: str, carrier: Mapping[str, str], kind: SpanKind = SpanKind.CONSUMER, **attributes: str | int | bool
) -> Iterator[Span]:
    """A span whose parent is the `traceparent` of the carrier, where it has one."""
    parent = _PROPAGATOR.extract(dict(carrier))
    tracer = trace.get_tracer("torpor")
    with tracer.start_as_current_span(name, context=parent, kind=kind, record_exception=False) as current:
        current.set_attributes({key.replace("__", "."): value for key, value in attributes.items()})
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def context() -> dict[str, str]:
    """`traceparent` (and `tracestate`) of the current span, for an event or a request that leaves."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier
