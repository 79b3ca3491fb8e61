"""Events and their three forms on the wire: HTTP binary, HTTP structured, Kafka. Pure codecs.

In binary mode an event is its headers, and in JSON an object with them, so both are written here, in far less time than by
the CloudEvents SDK. It reads the JSON format, and the tests compare with it what is written.

Sources: CloudEvents 1.0.2, HTTP protocol binding 3.1 and 3.2, Kafka protocol binding 3.2 and 3.3, JSON event format.
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID

from eventing import sdk
from eventing.errors import NotACloudEventError, UnsupportedMediaTypeError

STRUCTURED = "application/cloudevents+json"
_NAME = re.compile(r"[a-z0-9]{1,64}")
_TAKEN = {
    "data": "CloudEvents 1.0 keeps it for the data (3.1, Naming Conventions)",
    "extensions": "the CloudEvents SDK keeps it for itself",
}
# What CloudEvents 1.0 (3.1, String) allows in no attribute: control characters and half a surrogate pair.
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
DEEPEST = 100  # levels of a JSON text
_STRING, _BRACKET = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL), re.compile(rb"[\[\]{}]")
# The printable ASCII that a header value carries as it is (HTTP binding 3.1.3.2); a space only between words.
_PLAIN = " !#$&'()*+,-./:;<=>?@[\\]^_`{|}~"
_UNQUOTED = re.compile(r"[ !#-$&-~]*")


@dataclass(frozen=True)
class Event:
    """A CloudEvent: context attributes as text, data as bytes."""

    attributes: Mapping[str, str]
    data: bytes | None = None

    @property
    def id(self) -> str:
        return self.attributes["id"]

    @property
    def type(self) -> str:
        return self.attributes["type"]

    @property
    def source(self) -> str:
        return self.attributes["source"]

    def get(self, name: str, default: str = "") -> str:
        return self.attributes.get(name, default)

    def number(self, name: str) -> int | None:
        """An integer attribute, or None where it is absent.

        Raises:
            NotACloudEventError: when it is there and is no integer.
        """
        value = self.attributes.get(name)
        if value is None:
            return None
        try:
            return int(value)
        except ValueError:
            raise NotACloudEventError(f"attribute {name!r} must be an integer, got {value!r}") from None

    def moment(self, name: str) -> datetime | None:
        """A timestamp attribute (RFC 3339, with its offset), or None where it is absent.

        Raises:
            NotACloudEventError: when it is there and is no timestamp.
        """
        value = self.attributes.get(name)
        if value is None:
            return None
        try:
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is not None:
                return moment.astimezone(UTC)
        except (ValueError, OverflowError):  # the latter for a year that no clock has once its offset is taken off
            pass
        raise NotACloudEventError(f"attribute {name!r} must be an RFC 3339 timestamp with its offset, got {value[:80]!r}")

    def request_id(self) -> UUID | None:
        value = self.attributes.get("requestid") or self.attributes.get("partitionkey")
        try:
            return UUID(value) if value else None
        except ValueError:
            return None

    def having(self, **attributes: str | None) -> Event:
        """A copy with attributes added, or taken away where the value is None."""
        merged = {**self.attributes, **attributes}
        return replace(self, attributes={k: v for k, v in merged.items() if v is not None})


def from_request(headers: Mapping[str, str], body: bytes) -> Event:
    """The event of an HTTP request, in binary or structured mode.

    Raises:
        NotACloudEventError: when the request is no CloudEvent; it says what is missing.
        UnsupportedMediaTypeError: for a batch.
    """
    attributes: dict[str, str] = {}
    given_type = ""
    for name, value in headers.items():
        name = name.lower()
        if name.startswith("ce-"):
            attributes[name[3:]] = unquote(value) if "%" in value else value
        elif name == "content-type":
            given_type = value
    content_type = given_type.partition(";")[0].strip().lower()
    if content_type == "application/cloudevents-batch+json":
        raise UnsupportedMediaTypeError("batches are not taken; send one CloudEvent a request")
    if content_type == STRUCTURED:
        return from_json(body)
    if "specversion" not in attributes:
        raise NotACloudEventError(
            f"no CloudEvent: neither a `ce-specversion` header (binary mode) nor the content type {STRUCTURED} (structured)"
        )
    return _binary(attributes, given_type, body)


def from_json(body: bytes | str) -> Event:
    """An event in the JSON event format.

    Raises:
        NotACloudEventError: when it is no JSON or no CloudEvent.
    """
    try:
        content = parsed(body)
    except ValueError as error:
        raise NotACloudEventError(f"the structured CloudEvent is no JSON: {error}") from None
    if not isinstance(content, dict):
        raise NotACloudEventError(f"a structured CloudEvent is a JSON object, got {type(content).__name__}")
    _check_complete(content)
    for name, value in content.items():
        if name not in ("data", "data_base64"):
            _check_name(name)
        if name != "data" and isinstance(value, dict | list | float):
            raise NotACloudEventError(f"attribute {name[:80]!r} must be a string, an integer or a boolean")
        if name in ("id", "source", "type") and not isinstance(value, str):
            raise NotACloudEventError(f"attribute {name!r} must be a string, got {json.dumps(value)}")
    if (encoded := content.get("data_base64")) is not None:
        _check_base64(encoded, content.get("data"))
    event = checked(Event(*sdk.read_json(body)))
    if content.get("data") is None or not _is_json(event):
        return event
    try:
        return replace(event, data=_laid_out(content["data"]))
    except UnicodeEncodeError as error:
        raise NotACloudEventError(f"the structured CloudEvent holds text that is no Unicode: {error.reason}") from None
    except ValueError:
        raise NotACloudEventError("the structured CloudEvent holds a number larger than JSON's readers take") from None


def _is_json(event: Event) -> bool:
    return event.get("datacontenttype", "application/json").split(";")[0].endswith("json")


def _laid_out(data: Any) -> bytes:
    """The same data as the same bytes, however its sender laid it out.

    Raises:
        ValueError: when it holds half a surrogate pair, or a number that is none in JSON.
    """
    return _LAYOUT.encode(data).encode()


def _check_complete(names: Collection[str]) -> None:
    if missing := [name for name in ("specversion", "id", "source", "type") if name not in names]:
        raise NotACloudEventError(f"no CloudEvent: it lacks the attribute {', '.join(map(repr, missing))}")


def _check_base64(encoded: Any, data: Any) -> None:
    """The SDK decodes whatever is there, and drops what it cannot."""
    if data is not None:
        raise NotACloudEventError("a structured CloudEvent holds `data` or `data_base64`, not both")
    try:
        base64.b64decode(encoded, validate=True)
    except (ValueError, TypeError) as error:
        raise NotACloudEventError(f"`data_base64` holds no base64: {error}") from None


def from_content(content: Mapping[str, Any]) -> Event:
    """An event from the object that the JSON event format is.

    Raises:
        NotACloudEventError: when it is no CloudEvent.
    """
    return from_json(json.dumps(content))


def parsed(text: bytes | str) -> Any:
    """What a JSON text says.

    Raises:
        ValueError: when it is none, or nested deeper than whatever reads or writes it again could follow.
    """
    text = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    if text.count(b"[") + text.count(b"{") > DEEPEST and _depth(text) > DEEPEST:
        raise ValueError(f"it is nested more than {DEEPEST} deep")
    return _DECODER.decode(text.decode(json.detect_encoding(text), "surrogatepass"))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse)
_LAYOUT = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def _depth(text: bytes) -> int:
    """How deep a JSON text is nested, counted without recursion."""
    depth = deepest = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", text)):
        depth += 1 if bracket in b"[{" else -1
        deepest = max(deepest, depth)
    return deepest


def _binary(attributes: dict[str, str], content_type: str, body: bytes | None) -> Event:
    _check_complete(attributes)
    if content_type:
        attributes["datacontenttype"] = content_type
    return checked(Event(attributes, body or None))


def checked(event: Event) -> Event:
    """The event, if its attributes are as CloudEvents 1.0 wants them.

    Raises:
        NotACloudEventError: naming the attribute.
    """
    if event.get("specversion") != "1.0":
        raise NotACloudEventError(f"attribute 'specversion' must be '1.0', got {event.get('specversion')!r}")
    for name in ("id", "source", "type"):
        if not event.get(name):
            raise NotACloudEventError(f"attribute {name!r} must be a non-empty string")
    if not all(map(_NAME.fullmatch, event.attributes)) or not _TAKEN.keys().isdisjoint(event.attributes):
        for name in event.attributes:
            _check_name(name)
    for name, value in event.attributes.items() if _FORBIDDEN.search("".join(event.attributes.values())) else ():
        if found := _FORBIDDEN.search(value):
            raise NotACloudEventError(f"attribute {name!r} holds {found[0]!r}, a character that no attribute may hold")
    return event


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise NotACloudEventError(f"attribute name {name[:80]!r} must be lower-case letters and digits only")
    if name in _TAKEN:
        raise NotACloudEventError(f"attribute name {name!r} cannot be taken, since {_TAKEN[name]}: give it another name")


def cleaned(value: str) -> str:
    """The text as an attribute may hold it."""
    return _FORBIDDEN.sub("\ufffd", value)


def to_request(event: Event) -> tuple[dict[str, str], bytes]:
    """Headers and body of the event in HTTP binary mode."""
    attributes = event.attributes
    if not _UNQUOTED.fullmatch("".join(attributes.values())):
        attributes = {name: quote(value, safe=_PLAIN) for name, value in attributes.items()}
    headers = {f"ce-{name}": value for name, value in attributes.items() if name != "datacontenttype"}
    if kind := event.get("datacontenttype"):
        headers["content-type"] = kind
    return headers, event.data or b""


def to_json(event: Event) -> bytes:
    """The event in the JSON event format; JSON data stays JSON, anything else becomes `data_base64`."""
    return written(event)[0]


def written(event: Event) -> tuple[bytes, Event]:
    """The event in the JSON event format, and exactly as it is read again from there."""
    attributes = json.dumps(dict(event.attributes)).encode()
    if event.data is None:
        return attributes, event
    if _is_json(event):
        with contextlib.suppress(ValueError):
            if (data := parsed(event.data)) is None:
                return attributes, replace(event, data=None)
            laid_out = _laid_out(data)
            return b'%s, "data": %s}' % (attributes[:-1], laid_out), replace(event, data=laid_out)
    return b'%s, "data_base64": "%s"}' % (attributes[:-1], base64.b64encode(event.data)), event


def from_record(headers: Iterable[tuple[str, bytes | None]], key: bytes | None, value: bytes | None) -> Event:
    """The event of a Kafka record, in binary or structured mode.

    Raises:
        NotACloudEventError: when the record is no CloudEvent.
    """
    found = {name.lower(): (raw or b"").decode("utf-8", "replace") for name, raw in headers}
    content_type = found.get("content-type", "")
    if content_type.startswith(STRUCTURED):
        event = from_json(value or b"")
    elif "ce_specversion" in found:
        attributes = {name[3:]: text for name, text in found.items() if name.startswith("ce_")}
        event = _binary(attributes, content_type, value)
    else:
        raise NotACloudEventError("the record has neither a `ce_specversion` header nor a structured content type")
    if key and "partitionkey" not in event.attributes:
        event = event.having(partitionkey=cleaned(key.decode("utf-8", "replace")))
    if "target_version" in found and "targetversion" not in event.attributes:
        event = event.having(targetversion=found["target_version"])
    return event


def to_record(event: Event) -> tuple[list[tuple[str, bytes]], bytes | None, bytes | None]:
    """Headers, key and value of the event as a Kafka record in binary mode; the key is its `partitionkey`."""
    headers = [
        (f"ce_{name}", value.encode()) for name, value in sorted(event.attributes.items()) if name != "datacontenttype"
    ]
    if kind := event.get("datacontenttype"):
        headers.append(("content-type", kind.encode()))
    key = event.get("partitionkey")
    return headers, key.encode() if key else None, event.data
