"""A record, what can go wrong with it, and what all clients of Kafka have in common."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import confluent_kafka as ck

from eventing.errors import NotNowError
from eventing.kafka.outages import Outages

MAX_RECORD_BYTES = 1024 * 1024  # as Eventing's producer: max.request.size
_log = logging.getLogger("eventing.kafka")
_log.addFilter(Outages())
QUIET: dict[str, Any] = {
    "log_level": 3,
    "logger": _log,
    "socket.keepalive.enable": True,
    "socket.nagle.disable": True,
}

Headers = Sequence[tuple[str, bytes | None]]
Place = tuple[str, int]  # topic, partition


class KafkaUnavailableError(NotNowError):
    """Kafka did not do what was asked of it."""

    title = "Kafka unavailable"


@dataclass(frozen=True)
class Record:
    """A record as it lies in a topic; `timestamp_ms` is -1 where there is none."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Headers
    timestamp_ms: int = -1

    @property
    def place(self) -> Place:
        return self.topic, self.partition


def record_of(message: Any) -> Record:
    return Record(
        message.topic(),
        message.partition(),
        message.offset(),
        message.key(),
        message.value(),
        tuple(message.headers() or ()),
        message.timestamp()[1],
    )


@contextlib.contextmanager
def translating(bootstrap: str) -> Iterator[None]:
    try:
        yield
    except ck.KafkaException as error:
        raise KafkaUnavailableError(f"Kafka at {bootstrap}: {error.args[0].str()}") from error
