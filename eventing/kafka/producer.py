"""Producing from asyncio: idempotent, acknowledged by all in-sync replicas."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import Any

import confluent_kafka as ck

from eventing.errors import PayloadTooLargeError
from eventing.kafka.records import MAX_RECORD_BYTES, QUIET, Headers, KafkaUnavailableError


class Producer:
    """Produces from asyncio; `produce` returns once all in-sync replicas have the record."""

    def __init__(self, bootstrap: str, time_limit_s: float = 10.0) -> None:
        self._bootstrap = bootstrap
        self._producer = ck.Producer(
            {
                "bootstrap.servers": bootstrap,
                "enable.idempotence": True,
                "acks": "all",
                "linger.ms": 0,
                "partitioner": "murmur2_random",  # as Java clients: one key, one partition, whoever produces
                "message.max.bytes": MAX_RECORD_BYTES,
                "message.timeout.ms": int(time_limit_s * 1000),
                **QUIET,
            }
        )
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._poll, name="kafka-producer", daemon=True)
        self._thread.start()

    async def produce(self, topic: str, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> int:
        """The offset that the record got.

        Raises:
            PayloadTooLargeError: above MAX_RECORD_BYTES.
            KafkaUnavailableError: when it was not acknowledged in time.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[int] = loop.create_future()

        def settle(error: Any, offset: int | None) -> None:
            if done.cancelled():
                return
            if error is not None:
                done.set_exception(self._translated(topic, error))
            else:
                done.set_result(-1 if offset is None else offset)

        def delivered(error: Any, message: Any) -> None:
            offset = None if error is not None else message.offset()
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(settle, error, offset)

        try:
            self._producer.produce(topic, value, key, headers=list(headers), on_delivery=delivered)
        except BufferError as error:
            raise KafkaUnavailableError(f"{topic}: the producer's queue is full; {self._bootstrap} is too slow") from error
        except ck.KafkaException as error:
            raise self._translated(topic, error.args[0]) from error
        return await done

    async def close(self) -> None:
        """Send what is still queued, then stop."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._producer.flush(10)
        self._closed.set()
        self._thread.join(5)

    def _poll(self) -> None:
        while not self._closed.is_set():
            self._producer.poll(0.2)

    def _translated(self, topic: str, error: Any) -> KafkaUnavailableError | PayloadTooLargeError:
        if error.code() == ck.KafkaError.MSG_SIZE_TOO_LARGE:
            return PayloadTooLargeError(f"{topic}: a record holds at most {MAX_RECORD_BYTES} bytes")
        return KafkaUnavailableError(f"{topic} on {self._bootstrap}: {error.str()}")
