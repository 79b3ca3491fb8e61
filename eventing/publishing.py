"""Publishing to a broker's ingress; the only way by which an event leaves a function."""

from __future__ import annotations

import asyncio
import hashlib
import re
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote

from eventing.envelope import Event, to_request
from eventing.errors import ContractError, PublishError
from eventing.step import Objects

if TYPE_CHECKING:
    import urllib3

_REFERENCE = re.compile(r"data/[0-9a-f]{64}")
INLINE_BYTES = 64 * 1024  # larger data goes to the bucket, the event carries `dataref`


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
        self._http: urllib3.PoolManager | None = None

    async def publish(self, event: Event) -> None:
        """Publish, and return once the broker has the event.

        Raises:
            PublishError: when the broker did not acknowledge it.
        """
        if event.data is not None and len(event.data) > INLINE_BYTES:
            event = await self._by_reference(event)
        url = f"{self._ingress}/{quote(broker_of(event.type))}"
        headers, body = to_request(event)
        await asyncio.to_thread(self._post, url, headers, body)

    async def _by_reference(self, event: Event) -> Event:
        data = event.data or b""
        key = _reference(data)
        await self._objects.create(key, data, event.get("datacontenttype", "application/json"))
        return replace(event.having(dataref=key), data=None)

    def _post(self, url: str, headers: dict[str, str], body: bytes) -> None:
        import urllib3

        self._http = self._http or urllib3.PoolManager(maxsize=16)
        retries = urllib3.Retry(
            self._attempts - 1, backoff_factor=0.2, status_forcelist=[429, 500, 502, 503, 504],
            allowed_methods=None, raise_on_status=False, redirect=0,
        )  # fmt: skip
        try:
            answer = self._http.request("POST", url, body=body, headers=headers, timeout=self._time_limit_s, retries=retries)
        except urllib3.exceptions.HTTPError as error:
            raise PublishError(f"{headers['ce-type']} could not be published to {url}: {error}") from error
        if answer.status != 202:
            told = answer.data[:300].decode("utf-8", "replace")
            raise PublishError(f"{url} answered {answer.status} instead of 202: {told}")


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
