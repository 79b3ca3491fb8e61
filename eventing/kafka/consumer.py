"""Consuming from asyncio: records are handed out, and committed once they are said to be done."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import confluent_kafka as ck

from eventing.kafka.records import QUIET, KafkaUnavailableError, Place, Record, record_of

_COMMITTED_S = 1.0  # for one question for what is committed
_AGAIN_S = 0.1
_LONGEST_POLL_MS = 24 * 60 * 60 * 1000  # librdkafka's largest: retries of one event never evict their consumer


class Consumer:
    """A member of a consumer group. Not safe for two tasks at once, but for `done`, which any may call.

    `member` makes the membership static: a process that takes a killed one's place gets its partitions at once. With
    other topics it is another member: a group hands one that it knows its old partitions, whatever it subscribes to now.
    """

    def __init__(
        self,
        bootstrap: str,
        group: str,
        topics: Iterable[str],
        *,
        member: str | None = None,
        from_latest: bool = False,
        session_timeout_s: float = 6.0,
        on_revoked: Callable[[list[Place]], None] | None = None,
    ) -> None:
        self.group = group
        self._on_revoked = on_revoked
        self._from_latest = from_latest
        self._done: dict[Place, int] = {}
        self._flow: dict[Place, bool] = {}  # whether a partition is to be read
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closing = threading.Event()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix=f"kafka-{group}")
        topics = sorted(topics)
        static = {"group.instance.id": f"{member}-{zlib.crc32(' '.join(topics).encode()):08x}"} if member else {}
        self._consumer = ck.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                **static,
                "auto.offset.reset": "latest" if from_latest else "earliest",
                "enable.auto.offset.store": False,
                "auto.commit.interval.ms": 200,
                "session.timeout.ms": int(session_timeout_s * 1000),
                "heartbeat.interval.ms": int(session_timeout_s * 1000 / 4),
                "max.poll.interval.ms": _LONGEST_POLL_MS,
                "topic.metadata.refresh.interval.ms": 10_000,
                "fetch.wait.max.ms": 250,
                "queued.max.messages.kbytes": 4096,
                **QUIET,
            }
        )
        self._consumer.subscribe(topics, on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked)

    async def batch(self, limit: int, wait_s: float = 0.1) -> list[Record]:
        """Up to `limit` records, as soon as there is one; none when `wait_s` is over.

        Raises:
            KafkaUnavailableError: when this member can go on no more (another one took its name).
        """
        found: list[Record] = []
        await self._read(found.append, limit, wait_s, go_on=False)
        return found

    async def each(self, take: Callable[[Record], None], limit: int, wait_s: float = 0.1) -> None:
        """Hand the records that come within `wait_s` to `take`, each at once, but no more than `limit`.

        Raises:
            KafkaUnavailableError: when this member can go on no more (another one took its name).
        """
        await self._read(take, limit, wait_s, go_on=True)

    async def _read(self, take: Callable[[Record], None], limit: int, wait_s: float, *, go_on: bool) -> None:
        self._loop = loop = asyncio.get_running_loop()

        def hand_over(record: Record) -> None:
            loop.call_soon_threadsafe(take, record)

        await loop.run_in_executor(self._pool, self._poll, hand_over, limit, wait_s, go_on)

    def done(self, place: Place, offset: int) -> None:
        """Say that everything below `offset` is done; it is committed soon after the next reading."""
        self._done[place] = offset

    def pause(self, place: Place) -> None:
        """Read no more of a partition, from the next reading on."""
        self._flow[place] = False

    def resume(self, place: Place) -> None:
        self._flow[place] = True

    async def unread(self, time_limit_s: float = 2.0) -> int | None:
        """How many records of this member's partitions it has yet to hand out; None while that is not known."""
        with contextlib.suppress(TimeoutError):  # the thread that polls may wait for Kafka
            async with asyncio.timeout(time_limit_s):
                return await asyncio.get_running_loop().run_in_executor(self._pool, self._unread)
        return None

    async def close(self) -> None:
        """Commit what is done, then stop."""
        self._closing.set()
        await asyncio.get_running_loop().run_in_executor(self._pool, self._close)
        self._pool.shutdown(wait=False)

    def _poll(self, hand_over: Callable[[Record], None], limit: int, wait_s: float, go_on: bool) -> None:
        self._apply()
        found, end = 0, time.monotonic() + wait_s
        while found < limit:
            message = self._consumer.poll(max(0.0, end - time.monotonic()) if go_on or not found else 0)
            if message is None:
                break
            error = message.error()
            if error is None:
                hand_over(record_of(message))
                found += 1
            elif error.fatal() or error.code() == ck.KafkaError._FATAL:
                raise KafkaUnavailableError(f"consumer group {self.group}: {error.str()}")
            # Any other error is a passing trouble, of which librdkafka takes care.

    def _unread(self) -> int | None:
        # As the last fetch told them: nothing is asked of Kafka, which may be away.
        try:
            begun = self._consumer.assignment()  # each with the offset at which it was to begin
            reached = self._consumer.position(begun)
            known = [self._consumer.get_watermark_offsets(place, cached=True) for place in begun]
        except ck.KafkaException:
            return None
        if not known or any(end < 0 for _, end in known):
            return None
        unread = 0
        for start, place, (first, end) in zip(begun, reached, known, strict=True):
            untouched = end if start.offset == ck.OFFSET_END else max(first, 0)
            at = next(offset for offset in (place.offset, start.offset, untouched) if offset >= 0)
            unread += max(0, end - at)
        return unread

    def _close(self) -> None:
        self._apply()
        self._consumer.close()

    def _apply(self) -> None:
        """What was asked for since: in the thread that polls, since these calls wait for a poll that is under way."""
        while self._flow:
            place, on = self._flow.popitem()
            with contextlib.suppress(ck.KafkaException):
                (self._consumer.resume if on else self._consumer.pause)([ck.TopicPartition(*place)])
        while self._done:
            place, offset = self._done.popitem()
            with contextlib.suppress(ck.KafkaException):  # the partition is another member's now, who reads it again
                self._consumer.store_offsets(offsets=[ck.TopicPartition(*place, offset)])

    def _assigned(self, consumer: Any, partitions: list[Any]) -> None:
        """Begin where the group has come to, which is asked for here until it is known.

        librdkafka asks but once, and reads nothing where a coordinator that has just come back says that it is none (its
        issue 5586).
        """
        untouched = ck.OFFSET_END if self._from_latest else ck.OFFSET_BEGINNING
        while not self._closing.is_set():
            with contextlib.suppress(ck.KafkaException):
                reached = consumer.committed(partitions, timeout=_COMMITTED_S)
                if all(place.error is None for place in reached):
                    for place in reached:
                        place.offset = place.offset if place.offset >= 0 else untouched
                    consumer.assign(reached)
                    return
            self._closing.wait(_AGAIN_S)

    def _revoked(self, _: Any, partitions: list[Any]) -> None:
        if self._on_revoked is not None and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._on_revoked, [(p.topic, p.partition) for p in partitions])
