"""What a PingSource does: an event whenever its schedule says so."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from uuid import uuid4
from zoneinfo import ZoneInfo

from croniter import croniter

from eventing.envelope import Event
from eventing.local.delivery import Counts, Courier, InterruptedDeliveryError, Route
from eventing.local.resources import Delivery, PingSource

_log = logging.getLogger(__name__)
# A PingSource names no delivery: its adapter tries a few times, after codes of its own, then waits for the next tick.
_DELIVERY = Delivery(retry=5, delay_s=0.05, timeout_s=60, retried=frozenset({404, 413, 425, 429, 502, 503, 504}))


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


def due(source: PingSource, now: datetime) -> datetime:
    """When its next tick is due, by the clock of its time zone (or UTC); of six fields the first is seconds."""
    there = now.astimezone(ZoneInfo(source.timezone) if source.timezone else UTC)
    return croniter(source.schedule, there, second_at_beginning=True).get_next(datetime)


def route_of(source: PingSource) -> Route:
    return Route(f"ping {source.name}", source.namespace, source.sink, _DELIVERY)


async def run(source: PingSource, courier: Courier, counts: Counts) -> None:
    """Send ticks until cancelled; a tick that is still under way when the next is due goes on beside it."""
    route = route_of(source)
    under_way: set[asyncio.Task[None]] = set()
    try:
        while True:
            now = datetime.now(UTC)
            then = due(source, now)
            await asyncio.sleep(max(0.0, (then - now).total_seconds()))
            task = asyncio.create_task(_send(tick(source, then), route, courier, counts))
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
