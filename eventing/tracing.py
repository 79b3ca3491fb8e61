"""Spans for OpenTelemetry, exported over OTLP/HTTP. Only `eventing.telemetry` loads this, and only where somebody looks."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from eventing.errors import ConfigurationError

_PROPAGATOR = TraceContextTextMapPropagator()
_SOON_MS = "500"  # a process may fall asleep a second after its last event; what is not sent by then is lost


class _Seen:
    """A span that is recorded."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, attributes: Mapping[str, Any]) -> None:
        self._span.set_attributes(_told(attributes))

    def event(self, name: str, attributes: Mapping[str, Any]) -> None:
        self._span.add_event(name, _told(attributes))


def start(service: str) -> None:
    """Export this process's spans.

    Raises:
        ConfigurationError: when the exporter (`torpor[otlp]`) is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but the exporter is not installed: pip install 'torpor[otlp]'"
        ) from error
    os.environ.setdefault("OTEL_BSP_SCHEDULE_DELAY", _SOON_MS)
    resource = Resource.create({"service.name": service, "service.namespace": "torpor"})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


@contextmanager
def span(name: str, carrier: Mapping[str, str] | None, kind: str, attributes: Mapping[str, Any]) -> Iterator[_Seen]:
    """A recorded span; an exception that passes is its error."""
    parent = _PROPAGATOR.extract(dict(carrier)) if carrier and carrier.get("traceparent") else None
    tracer = trace.get_tracer("torpor")
    with tracer.start_as_current_span(
        name,
        context=parent,
        kind=SpanKind[kind.upper()],
        attributes=_told(attributes),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield _Seen(current)
        except Exception as error:
            current.set_attribute("error.type", type(error).__qualname__)
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


def context() -> dict[str, str]:
    """`traceparent` and `tracestate` of the current span."""
    carrier: dict[str, str] = {}
    _PROPAGATOR.inject(carrier)
    return carrier


def _told(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in attributes.items() if value not in (None, "")}
