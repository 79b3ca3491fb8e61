"""Consuming from asyncio: records are handed out, and committed once they are said to be done."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

import confluent_kafka as ck

from eventing.kafka.records import QUIET, KafkaUnavailableError, Place, Record, record_of

_LONGEST_POLL_MS = 24 * 60 * 60 * 1000  # librdkafka's largest: retries of one event never evict their consumer
_POLL_S = 0.1  # between two polls is done what was asked for meanwhile


class Consumer:
    """A member of a consumer group. Not safe for two tasks at once, but for `done`, which any may call.

    A thread of its own polls, from the first `batch` on, and reads ahead what the last one had room for.

    `member` makes the membership static: a process that takes a killed one's place gets its partitions at once.
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
        self._questions: deque[tuple[Callable[[], Any], asyncio.Future[Any]]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Future[None] | None = None
        self._closing = False
        self._failure: KafkaUnavailableError | None = None
        # Records are counted since the beginning, each number by one thread: none needs a lock.
        self._read = self._taken = self._allowed = 0
        self._reading: list[Record] = []
        self._found: deque[Record] = deque()
        self._waiting: asyncio.Future[None] | None = None
        self._idle, self._stirred = False, threading.Event()
        self._consumer = ck.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": group,
                **({"group.instance.id": member} if member else {}),
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
        self._consumer.subscribe(list(topics), on_revoke=self._revoked, on_lost=self._revoked)

    async def batch(self, limit: int, wait_s: float | None = 0.1) -> list[Record]:
        """Up to `limit` records, as soon as there is one; none when `wait_s` is over, or this is closed.

        Raises:
            KafkaUnavailableError: when this member can go on no more (another one took its name).
        """
        self._begin()
        self._allowed = self._taken + limit
        self._stir()
        if not self._found and self._failure is None and not self._closing:
            await self._some(wait_s)
        if not self._found and self._failure is not None:
            raise self._failure
        records = [self._found.popleft() for _ in range(min(limit, len(self._found)))]
        self._taken += len(records)
        return records

    def done(self, place: Place, offset: int) -> None:
        """Say that everything below `offset` is done; it is committed soon."""
        self._done[place] = offset

    def pause(self, place: Place) -> None:
        """Read no more of a partition, from the next poll on; what was read ahead still comes."""
        self._flow[place] = False

    def resume(self, place: Place) -> None:
        self._flow[place] = True

    async def unread(self, time_limit_s: float = 2.0) -> int | None:
        """How many records of this member's partitions it has yet to hand out; None while that is not known."""
        answer = self._begin().create_future()
        self._questions.append((lambda: self._unread(time_limit_s), answer))
        self._stir()
        unread = None if self._closing else await answer
        return None if unread is None else unread + len(self._found)

    async def close(self) -> None:
        """Commit what is done, then stop."""
        self._begin()
        self._closing = True
        self._stir()
        self._wake()
        if self._ended is not None:
            await asyncio.shield(self._ended)

    def _begin(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            self._ended = self._loop.create_future()
            threading.Thread(target=self._run, name=f"kafka-{self.group}", daemon=True).start()
        return self._loop

    def _stir(self) -> None:
        """Wake the thread, where it neither polls nor works."""
        if self._idle:
            self._stirred.set()

    async def _some(self, wait_s: float | None) -> None:
        loop = asyncio.get_running_loop()
        self._waiting = loop.create_future()
        timer = None if wait_s is None else loop.call_later(wait_s, self._wake)
        try:
            await self._waiting
        finally:
            self._waiting = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _arrived(self, records: list[Record], failure: KafkaUnavailableError | None) -> None:
        self._found.extend(records)
        self._failure = self._failure or failure
        self._wake()

    def _tell(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Have something done on the loop, by the thread."""
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:  # the loop is closed: nobody waits any more
            self._closing = True

    def _run(self) -> None:
        try:
            while not self._closing:
                self._apply()
                if self._failure is None and self._allowed > self._read:
                    self._poll(self._allowed - self._read)
                else:
                    self._rest()
        except Exception as error:
            self._tell(self._arrived, [], KafkaUnavailableError(f"consumer group {self.group}: {error}"))
        finally:
            self._close()

    def _rest(self) -> None:
        """Until there is room again, or a while."""
        self._idle = True
        if self._failure is not None or self._allowed <= self._read:  # still: the loop looks at `_idle` only now
            self._stirred.wait(_POLL_S)
        self._idle = False
        self._stirred.clear()

    def _poll(self, room: int) -> None:
        found, failure = self._reading, None
        while len(found) < room:
            message = self._consumer.poll(0 if found else _POLL_S)
            if message is None:
                break
            error = message.error()
            if error is None:
                found.append(record_of(message))
            elif error.fatal() or error.code() == ck.KafkaError._FATAL:
                failure = KafkaUnavailableError(f"consumer group {self.group}: {error.str()}")
                break
        # any other error is a passing trouble, of which librdkafka takes care
        if found or failure:
            self._reading = []
            self._read += len(found)
            self._tell(self._arrived, found, failure)

    def _unread(self, time_limit_s: float) -> int | None:
        try:
            reached = self._consumer.position(self._consumer.assignment())
            begun, new = [p for p in reached if p.offset >= 0], [p for p in reached if p.offset < 0]
            reached = begun + (self._consumer.committed(new, timeout=time_limit_s) if new else [])
            # As the last fetch told them: nothing is asked of Kafka, which may be away.
            known = [(place.offset, *self._consumer.get_watermark_offsets(place, cached=True)) for place in reached]
        except ck.KafkaException:
            return None
        if not known or any(end < 0 for _, _, end in known):
            return None
        untouched = [end if self._from_latest else max(first, 0) for _, first, end in known]
        return sum(max(0, end - (at if at >= 0 else start)) for (at, _, end), start in zip(known, untouched, strict=True))

    def _close(self) -> None:
        self._closing = True
        try:
            self._apply()
            self._consumer.close()
        finally:
            while self._questions:
                self._tell(_settle, self._questions.popleft()[1], None)
            self._tell(_settle, self._ended, None)

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
        while self._questions:
            question, answer = self._questions.popleft()
            self._tell(_settle, answer, question())

    def _revoked(self, _: Any, partitions: list[Any]) -> None:
        """Within a poll, or while it is closed: what was read of these partitions and not handed out is another's, too."""
        places = [(p.topic, p.partition) for p in partitions]
        kept = [record for record in self._reading if record.place not in places]
        self._reading[:] = kept
        self._tell(self._lost, places)

    def _lost(self, places: list[Place]) -> None:
        kept = [record for record in self._found if record.place not in places]
        self._taken += len(self._found) - len(kept)
        self._found = deque(kept)
        if self._on_revoked is not None:
            self._on_revoked(places)


def _settle(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)
