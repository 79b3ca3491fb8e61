"""Changes of breakers as CloudEvents on the topic `platform_events`, published through its broker's ingress."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import UTC, datetime
from uuid import uuid4

from cloudevents.conversion import to_binary
from cloudevents.http import CloudEvent

from inference.scheduler.upstream import Upstream
from schemas.platform import BreakerChanged

_MOST = 1000  # that wait while the broker is away; older ones are dropped then
_PAUSE_S = 1.0
_log = logging.getLogger(__name__)


class Announcer:
    """Publishes in the order in which it was told, in the background, again until the broker has it."""

    def __init__(self, ingress: str | None, upstream: Upstream) -> None:
        self._url = f"{ingress.rstrip('/')}/{BreakerChanged.event.replace('_', '-')}" if ingress else None
        self._upstream = upstream
        self._told: asyncio.Queue[BreakerChanged] = asyncio.Queue(_MOST)

    def tell(self, change: BreakerChanged) -> None:
        """Announce a change of a breaker."""
        if self._url is None:
            return
        if self._told.full():
            self._told.get_nowait()
        self._told.put_nowait(change)

    async def run(self) -> None:
        """Publish what is told, until cancelled."""
        while self._url is not None:
            change = await self._told.get()
            headers, body = event_of(change)
            while (status := await self._upstream.post(self._url, headers, body)) != 202:
                _log.warning("a breaker's change could not be published: %s answered %s", self._url, status or "nothing")
                await asyncio.sleep(_PAUSE_S)


def event_of(change: BreakerChanged) -> tuple[dict[str, str], bytes]:
    """The change as a CloudEvent in HTTP's binary mode."""
    attributes = {
        "type": change.event,
        "source": "/scheduler",
        "id": str(uuid4()),
        "time": datetime.now(UTC).isoformat(),
        "datacontenttype": "application/json",
        "dataschema": change.dataschema(),
        "subject": change.server,
        "partitionkey": change.server,
    }
    event = CloudEvent(attributes, json.loads(change.model_dump_json()))
    headers, body = to_binary(event)
    return dict(headers), body
