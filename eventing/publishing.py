"""Publishing to a broker's ingress; the only way by which an event leaves a function."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import quote

from eventing import telemetry
from eventing.envelope import Event, to_request
from eventing.errors import ConfigurationError, ContractError, PublishError
from eventing.posting import ExchangeError, Poster
from eventing.step import Objects

INLINE_BYTES = 64 * 1024  # larger data goes to the bucket, the event carries `dataref`
_PASSING = (429, 500, 502, 503, 504)
_REFERENCE = re.compile(r"data/[0-9a-f]{64}")


def broker_of(event_type: str) -> str:
    """Name of the broker (and the topic, written with dashes) that takes an event."""
    return event_type.replace("_", "-")


class Publisher:
    """POSTs events in binary mode to `INGRESS/BROKER` and takes 202 for an answer, nothing else."""

    def __init__(self, ingress: str, objects: Objects, time_limit_s: float = 10.0, attempts: int = 3) -> None:
        self._ingress = ingress.rstrip("/")
        self._objects = objects
        self._time_limit_s = time_limit_s
        self._attempts = attempts
        try:
            self._http = Poster(self._ingress)
        except ValueError as error:
            raise ConfigurationError(f"TORPOR_INGRESS: {error}") from None

    async def publish(self, event: Event) -> None:
        """Publish, and return once the broker has the event.

        Raises:
            PublishError: when the broker did not acknowledge it.
        """
        if event.data is not None and len(event.data) > INLINE_BYTES:
            event = await self._by_reference(event)
        with telemetry.span(f"publish {event.type}", kind="producer", about=partial(_attributes, event)):
            await self._tried(event)

    async def _by_reference(self, event: Event) -> Event:
        data = event.data or b""
        key = _reference(data)
        await self._objects.create(key, data, event.get("datacontenttype", "application/json"))
        return replace(event.having(dataref=key), data=None)

    async def _tried(self, event: Event) -> None:
        headers, body = to_request(event)
        broker = quote(broker_of(event.type))
        for attempt in range(self._attempts):
            if attempt > 1:
                await asyncio.sleep(0.2 * 2.0 ** (attempt - 1))
            try:
                answer = await self._http.post(broker, headers | telemetry.context(), body, self._time_limit_s)
            except ExchangeError as error:
                why = f"{event.type} could not be published: {self._ingress}/{broker} {error}"
                continue
            if answer.status == 202:
                return
            told = answer.body[:300].decode("utf-8", "replace")
            why = f"{self._ingress}/{broker} answered {answer.status} instead of 202: {told}"
            if answer.status not in _PASSING:
                break
        raise PublishError(why)


def _attributes(event: Event) -> dict[str, Any]:
    """Span attributes by OpenTelemetry's conventions for messaging."""
    return {
        "messaging.system": "kafka",
        "messaging.operation.type": "send",
        "messaging.operation.name": "publish",
        "messaging.destination.name": event.type,
        "messaging.message.id": event.id,
        "messaging.message.conversation_id": event.get("requestid"),
        "messaging.message.body.size": len(event.data or b""),
    }


def _reference(data: bytes) -> str:
    return f"data/{hashlib.sha256(data).hexdigest()}"


async def resolved(event: Event, objects: Objects) -> Event:
    """The event with its data in it: fetched from the bucket where it carries `dataref`.

    Raises:
        ContractError: when it names no data of an event, or the data is not what it names.
        PublishError: when the data is not in the bucket (yet).
    """
    reference = event.attributes.get("dataref")
    if reference is None or event.data:
        return event
    if not _REFERENCE.fullmatch(reference):
        raise ContractError(f"dataref {reference[:100]!r} is not of the form data/<sha256>")
    data = await objects.get(reference)
    if data is None:
        raise PublishError(f"the data of event {event.id} is not in the bucket at {reference}")
    if _reference(data) != reference:
        raise ContractError(f"the data of event {event.id} in the bucket at {reference} is not what its name says")
    return replace(event.having(dataref=None), data=data)
