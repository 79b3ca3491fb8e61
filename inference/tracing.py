"""A span for each model call, by OpenTelemetry's conventions for gen_ai; never a word of what was asked or answered.

Only a process that traces anyway has loaded OpenTelemetry's SDK; in any other, nothing is loaded and nothing is done.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit


class Call:
    """A model call that goes on; `headers` carry its trace to the server."""

    def __init__(self, headers: Mapping[str, str], span: Any = None) -> None:
        self.headers, self._span = headers, span

    def answered(self, raw: Mapping[str, Any], input_tokens: int, output_tokens: int) -> None:
        """Note what came back and what it cost."""
        if self._span is None:
            return
        choices = raw.get("choices")
        reasons = [str(c.get("finish_reason")) for c in choices if isinstance(c, dict)] if isinstance(choices, list) else []
        told = {
            "gen_ai.response.model": raw.get("model"),
            "gen_ai.response.id": raw.get("id"),
            "gen_ai.response.finish_reasons": reasons,
            "gen_ai.usage.input_tokens": input_tokens,
            "gen_ai.usage.output_tokens": output_tokens,
        }
        self._span.set_attributes({name: value for name, value in told.items() if isinstance(value, str | int | list)})


@contextmanager
def calling(url: str, call: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> Iterator[Call]:
    """The span of one call; an error that passes is its error."""
    if "opentelemetry.sdk.trace" not in sys.modules:
        yield Call(headers)
        return
    from opentelemetry import propagate, trace

    tracer = trace.get_tracer("torpor.inference")
    name = f"chat {body.get('model', '')}".strip()
    with tracer.start_as_current_span(
        name, kind=trace.SpanKind.CLIENT, attributes=_asked(url, call, body), record_exception=False,
        set_status_on_exception=False,
    ) as span:  # fmt: skip
        carrier: dict[str, str] = {}
        propagate.inject(carrier)
        try:
            yield Call({**headers, **carrier}, span)
        except Exception as error:
            span.set_attribute("error.type", type(error).__qualname__)
            span.set_status(trace.Status(trace.StatusCode.ERROR, type(error).__name__))
            raise


def _asked(url: str, call: str, body: Mapping[str, Any]) -> dict[str, Any]:
    server = urlsplit(url)
    told = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",  # whose interface it is
        "gen_ai.output.type": "json" if "response_format" in body else "text",
        "gen_ai.request.model": body.get("model"),
        "gen_ai.request.max_tokens": body.get("max_tokens"),
        "gen_ai.request.temperature": body.get("temperature"),
        "server.address": server.hostname,
        "server.port": server.port or (443 if server.scheme == "https" else 80),
        "torpor.call": call,
    }
    return {name: value for name, value in told.items() if value is not None}
