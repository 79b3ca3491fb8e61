"""The dispatcher: every Trigger and every source its own consumer group, each event delivered as its resource says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from eventing.errors import NotACloudEventError
from eventing.kafka import Consumer, Place, Record
from eventing.local import pings
from eventing.local.consuming import Reader
from eventing.local.delivery import Counts, Courier, Route
from eventing.local.resources import KafkaSource, Resources, Trigger
from eventing.local.sinks import Sinks
from eventing.local.sources import event_of, placed

_log = logging.getLogger(__name__)
_MEMBER = "local"  # a static member: the next dispatcher takes a killed one's place without waiting for its session to end


class Dispatcher:
    """Runs all Triggers and sources; `counts` says what became of their events, by name."""

    def __init__(self, bootstrap: str, resources: Resources, sinks: Sinks) -> None:
        self.counts: dict[str, Counts] = {}
        self._bootstrap = bootstrap
        self._stopping = asyncio.Event()
        self._courier = Courier(sinks, self._stopping)
        self._readers = dict([*map(self._of_trigger, resources.triggers), *map(self._of_source, resources.sources)])
        self._pings = resources.pings

    @property
    def in_flight(self) -> int:
        return sum(r.in_flight for r in self._readers.values())

    async def lags(self) -> dict[str, int | None]:
        """How many events each Trigger and source has yet to finish, by name; None where that is not known."""
        return dict(zip(self._readers, await asyncio.gather(*(r.lag() for r in self._readers.values())), strict=True))

    async def run(self) -> None:
        """Deliver until `stop`.

        Raises:
            KafkaUnavailableError: when a consumer can go on no more.
        """
        named = [(p, self._counts(f"ping {p.namespace}/{p.name}")) for p in self._pings]
        ticking = [asyncio.create_task(pings.run(ping, self._courier, counts)) for ping, counts in named]
        try:
            await asyncio.gather(*(r.run() for r in self._readers.values()))
            await self._stopping.wait()
        finally:
            for task in ticking:
                task.cancel()
            await asyncio.gather(*ticking, return_exceptions=True)

    async def stop(self, grace_s: float = 10.0) -> None:
        """Read no more, start no further attempt, and give the deliveries under way the grace to end."""
        self._stopping.set()
        await asyncio.gather(*(r.stop(grace_s) for r in self._readers.values()))

    def _counts(self, name: str) -> Counts:
        return self.counts.setdefault(name, Counts())

    def _consumer(
        self, group: str, topics: tuple[str, ...], from_latest: bool = False
    ) -> Callable[[Callable[[list[Place]], None]], Consumer]:
        return lambda revoked: Consumer(
            self._bootstrap, group, topics, member=_MEMBER, from_latest=from_latest, on_revoked=revoked
        )

    def _of_trigger(self, trigger: Trigger) -> tuple[str, Reader]:
        name = f"trigger {trigger.namespace}/{trigger.name}"
        counts = self._counts(name)
        route = Route(name, trigger.namespace, trigger.sink, trigger.delivery, trigger.broker)

        async def handle(record: Record) -> None:
            counts.received += 1
            try:
                event = placed(record)
            except NotACloudEventError as error:
                counts.not_events += 1
                where = f"{record.topic}/{record.partition}/{record.offset}"
                _log.error("%s: record %s is no CloudEvent and is dropped: %s", name, where, error)
                return
            if trigger.takes(event):
                await self._courier.deliver(event, route, counts)
            else:
                counts.filtered += 1

        return name, Reader(self._consumer(trigger.group, (trigger.broker.topic,)), handle, trigger.ordered)

    def _of_source(self, source: KafkaSource) -> tuple[str, Reader]:
        name = f"source {source.namespace}/{source.name}"
        counts = self._counts(name)
        route = Route(name, source.namespace, source.sink, source.delivery)

        async def handle(record: Record) -> None:
            counts.received += 1
            await self._courier.deliver(event_of(record, source), route, counts)

        return name, Reader(self._consumer(source.group, source.topics, source.from_latest), handle, source.ordered)
