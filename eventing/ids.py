"""Ids that come out the same on every run: UUIDv5 (RFC 9562) of what they name, never of a clock or a dice."""

from __future__ import annotations

import contextlib
import hashlib
import json
from uuid import NAMESPACE_URL, UUID, uuid5

from eventing.agent import StepKey
from eventing.envelope import Event, parsed

_ROOT = uuid5(NAMESPACE_URL, "urn:torpor")
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def answer_id(key: StepKey, number: int) -> str:
    """Id of the answer `number` (from 0) of a step."""
    return str(uuid5(key.request_id, f"{key}#{number}"))


def named_id(request_id: UUID, name: str) -> str:
    """Id of an event that no step answers with, for instance a snapshot."""
    return str(uuid5(request_id, name))


def request_id_of(source: str, event_id: str) -> UUID:
    """The request id of a foreign event that brings none: the same for every delivery of the event."""
    return uuid5(_ROOT, f"{source}\n{event_id}")


def digest(event: Event) -> str:
    """Digest of what an event says (its type and data, not its id, time or layout), in hexadecimal: a step's input."""
    data = event.data or b""
    with contextlib.suppress(ValueError):
        data = _CANONICAL.encode(parsed(data)).encode()
    return hashlib.sha256(event.type.encode() + b"\n" + data).hexdigest()
