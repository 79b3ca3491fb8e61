"""The JSON event format read by the CloudEvents SDK: the one place that calls it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from cloudevents.exceptions import GenericException
from cloudevents.sdk.event import v1

from eventing.errors import NotACloudEventError

Decoded = tuple[dict[str, str], bytes | None]
_SDKEvent: Any = v1.Event  # its constructor has no types


def read_json(text: bytes | str) -> Decoded:
    """Attributes and data from the JSON event format.

    Raises:
        NotACloudEventError: when it is none.
    """
    with _refusing():
        decoded = _SDKEvent()
        decoded.UnmarshalJSON(text, _as_it_is)
        return _read(decoded)


def _read(decoded: Any) -> Decoded:
    properties: dict[str, Any] = decoded.Properties()
    data = properties.pop("data", None)
    given = properties | properties.pop("extensions")
    return {str(name): _text(value) for name, value in given.items() if value is not None}, _bytes(data) or None


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    """Whatever the SDK stumbles over is no CloudEvent."""
    try:
        yield
    except (GenericException, ValueError, TypeError, KeyError, AttributeError) as error:
        raise NotACloudEventError(f"no CloudEvent: {str(error) or type(error).__name__}") from error


def _as_it_is(data: Any) -> Any:
    return data


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _bytes(data: Any) -> bytes | None:
    if data is None or isinstance(data, bytes):
        return data
    return data.encode() if isinstance(data, str) else json.dumps(data, separators=(",", ":")).encode()
