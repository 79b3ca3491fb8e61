"""Reading a consumer group's records: unordered and many at once, or one a partition; commits stay contiguous."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from eventing.kafka import Consumer, KafkaUnavailableError, Place, Record
from eventing.local.delivery import InterruptedDeliveryError
from eventing.local.offsets import Offsets

IN_FLIGHT = 50  # records a consumer has under way before it stops polling, as Eventing's unordered consumers
RENEWALS, RENEWALS_WITHIN_S = 3, 60.0
_WAIT_S = 0.1  # what is done meanwhile is committed between two waits
_log = logging.getLogger(__name__)

Handle = Callable[[Record], Awaitable[None]]


class _Partition:
    """The records of one partition that were read and are not finished."""

    def __init__(self) -> None:
        self.offsets = Offsets()
        self.queue: deque[Record] = deque()
        self.worker: asyncio.Task[object] | None = None
        self.paused = False
        self.lost = False


class Reader:
    """Reads records with a consumer and has each handled; a record is done when `handle` returns."""

    def __init__(self, make: Callable[[Callable[[list[Place]], None]], Consumer], handle: Handle, ordered: bool) -> None:
        self._make = make
        self._consumer = make(self._revoked)
        self._renewals: deque[float] = deque(maxlen=RENEWALS)
        self._handle = handle
        self._ordered = ordered
        self._partitions: dict[Place, _Partition] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._freed = asyncio.Event()
        self._stopping = False
        self._closed = False

    @property
    def in_flight(self) -> int:
        return sum(p.offsets.in_flight for p in self._partitions.values())

    async def lag(self) -> int | None:
        """How many records are not finished, read or not; None while that is not known."""
        unread = None if self._closed else await self._consumer.unread()
        return None if unread is None else unread + self.in_flight

    async def run(self) -> None:
        """Read until `stop`.

        Raises:
            KafkaUnavailableError: when consumer after consumer can go on no more.
        """
        while not self._stopping:
            room = IN_FLIGHT if self._ordered else IN_FLIGHT - len(self._tasks)
            if room <= 0:
                self._freed.clear()
                await self._freed.wait()
                continue
            try:
                await self._consumer.each(self._begin, room, _WAIT_S)
            except KafkaUnavailableError as error:
                if not await self._renewed(error):
                    raise

    async def _renewed(self, why: KafkaUnavailableError) -> bool:
        """Whether a new consumer stands in the place of one that its group takes no more, as after Kafka's sudden death."""
        now = time.monotonic()
        if self._stopping or (len(self._renewals) == RENEWALS and now - self._renewals[0] < RENEWALS_WITHIN_S):
            return False
        self._renewals.append(now)
        _log.warning("%s; a new consumer takes its place", why)
        self._revoked(list(self._partitions))
        await self._consumer.close()
        self._consumer = self._make(self._revoked)
        return True

    async def stop(self, grace_s: float) -> None:
        """Read no more; what is not done when the grace is over is read again next time."""
        self._stopping = True
        self._freed.set()
        if self._closed:
            return
        self._closed = True
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=grace_s)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._consumer.close()

    def _begin(self, record: Record) -> None:
        if self._stopping:
            return  # it is read again next time
        partition = self._partitions.setdefault(record.place, _Partition())
        partition.offsets.begin(record.offset)
        if not self._ordered:
            self._spawn(self._one(partition, record))
            return
        partition.queue.append(record)
        if partition.worker is None or partition.worker.done():
            partition.worker = self._spawn(self._in_turn(partition))
        elif len(partition.queue) >= IN_FLIGHT and not partition.paused:
            partition.paused = True
            self._consumer.pause(record.place)

    def _spawn(self, work: Coroutine[Any, Any, object]) -> asyncio.Task[object]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        self._freed.set()

    async def _in_turn(self, partition: _Partition) -> None:
        while partition.queue and not self._stopping and not partition.lost:
            record = partition.queue.popleft()
            if not await self._one(partition, record):
                return
            if partition.paused and len(partition.queue) < IN_FLIGHT // 2:
                partition.paused = False
                self._consumer.resume(record.place)

    async def _one(self, partition: _Partition, record: Record) -> bool:
        """Whether the record was brought to its end."""
        try:
            await self._handle(record)
        except InterruptedDeliveryError:
            return False
        except Exception:
            # Nothing may stop a partition: what cannot be handled at all is dropped.
            _log.exception("%s: record %s/%d dropped", self._consumer.group, record.topic, record.offset)
        committable = partition.offsets.finish(record.offset)
        if committable is not None and not partition.lost:
            self._consumer.done(record.place, committable)
        return True

    def _revoked(self, places: list[Place]) -> None:
        """These partitions are another member's now, who reads again what was not committed."""
        for place in places:
            if (partition := self._partitions.pop(place, None)) is not None:
                partition.lost = True
                partition.queue.clear()
