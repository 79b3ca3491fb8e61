"""What a PingSource does: an event whenever its schedule says so."""

from __future__ import annotations

import asyncio
import logging
from datetime import datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from croniter import croniter

from eventing.envelope import Event
from eventing.local.delivery import Counts, Courier, InterruptedDeliveryError, Route
from eventing.local.resources import Delivery, PingSource

_log = logging.getLogger(__name__)
# A PingSource names no delivery of its own: its adapter tries a few times, then waits for the next tick.
_DELIVERY = Delivery(retry=5, delay_s=0.05, timeout_s=60)


def tick(source: PingSource, now: datetime) -> Event:
    """The event of one tick."""
    attributes = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "type": "dev.knative.sources.ping",
        "source": f"/apis/v1/namespaces/{source.namespace}/pingsources/{source.name}",
        "time": now.isoformat(),
    }
    if source.content_type:
        attributes["datacontenttype"] = source.content_type
    return Event(attributes, source.data.encode() if source.data is not None else None)


async def run(source: PingSource, courier: Courier, counts: Counts) -> None:
    """Send ticks until cancelled; a tick that is still under way when the next is due goes on beside it."""
    zone = ZoneInfo(source.timezone) if source.timezone else None
    route = Route(f"ping {source.name}", source.namespace, source.sink, _DELIVERY)
    under_way: set[asyncio.Task[None]] = set()
    try:
        while True:
            now = datetime.now(zone).astimezone(zone)
            due = croniter(source.schedule, now).get_next(datetime)
            await asyncio.sleep(max(0.0, (due - now).total_seconds()))
            task = asyncio.create_task(_send(tick(source, due), route, courier, counts))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
    finally:
        for task in under_way:
            task.cancel()


async def _send(event: Event, route: Route, courier: Courier, counts: Counts) -> None:
    counts.received += 1
    try:
        await courier.deliver(event, route, counts)
    except InterruptedDeliveryError:
        _log.info("%s: the platform stops; the next tick comes after its start", route.name)
