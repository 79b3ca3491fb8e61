"""Topics: made, read from end to end, measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka as ck
from confluent_kafka import admin as vendor_admin

from eventing.kafka.records import QUIET, KafkaUnavailableError, Record, record_of, translating

_vendor: Any = vendor_admin  # its admin package exports no types


@dataclass(frozen=True)
class TopicSpec:
    name: str
    partitions: int = 1
    replicas: int = 1
    config: Mapping[str, str] = field(default_factory=dict)


def create_topics(bootstrap: str, specs: Iterable[TopicSpec], time_limit_s: float = 15.0) -> list[str]:
    """Create the topics that are absent; their names. What exists is left as it is.

    Raises:
        KafkaUnavailableError: naming the topic that could not be made.
    """
    admin = _admin(bootstrap)
    with translating(bootstrap):
        existing = admin.list_topics(timeout=time_limit_s).topics
    wanted = [
        _vendor.NewTopic(s.name, num_partitions=s.partitions, replication_factor=s.replicas, config=dict(s.config))
        for s in specs
        if s.name not in existing
    ]
    made = []
    for name, future in (admin.create_topics(wanted, operation_timeout=time_limit_s) if wanted else {}).items():
        try:
            future.result()
            made.append(name)
        except ck.KafkaException as error:
            if error.args[0].code() != ck.KafkaError.TOPIC_ALREADY_EXISTS:
                raise KafkaUnavailableError(f"topic {name} could not be created: {error.args[0].str()}") from error
    return made


def read(bootstrap: str, topics: Iterable[str], time_limit_s: float = 15.0) -> list[Record]:
    """Every record of the topics, from the beginning to their present end, by time; topics that do not exist are empty.

    Raises:
        KafkaUnavailableError: when Kafka cannot be reached, or the end not be read in time.
    """
    consumer = ck.Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "torpor-read",
            "enable.auto.commit": False,
            "enable.partition.eof": True,
            "auto.offset.reset": "earliest",
            **QUIET,
        }
    )
    try:
        with translating(bootstrap):
            known = consumer.list_topics(timeout=time_limit_s).topics
            places = [
                ck.TopicPartition(t, p, ck.OFFSET_BEGINNING) for t in topics if t in known for p in known[t].partitions
            ]
            return _to_the_end(consumer, places, time_limit_s) if places else []
    finally:
        consumer.close()


def _to_the_end(consumer: Any, places: list[Any], time_limit_s: float) -> list[Record]:
    consumer.assign(places)
    unread = {(p.topic, p.partition) for p in places}
    found: list[Record] = []
    while unread:
        messages = consumer.consume(1, time_limit_s)
        if not messages:
            raise KafkaUnavailableError(f"no record of {sorted(unread)[0][0]} came within {time_limit_s:.0f} s")
        for message in messages:
            if message.error() is None:
                found.append(record_of(message))
            elif message.error().code() == ck.KafkaError._PARTITION_EOF:
                unread.discard((message.topic(), message.partition()))
            else:
                raise KafkaUnavailableError(message.error().str())
    return sorted(found, key=lambda r: (r.timestamp_ms, r.topic, r.partition, r.offset))


def sizes(bootstrap: str, topics: Iterable[str], time_limit_s: float = 5.0) -> dict[str, int]:
    """How many offsets each topic holds, from its first to its end; 0 where it does not exist.

    A consumer is asked, no admin client: its answers to these questions abort the whole process when a broker goes away
    meanwhile (librdkafka issue 3663).

    Raises:
        KafkaUnavailableError: when Kafka cannot be reached.
    """
    asker = _asker(bootstrap)
    with translating(bootstrap):
        known = asker.list_topics(timeout=time_limit_s).topics
        return {t: sum(_held(asker, t, p, time_limit_s) for p in known[t].partitions) if t in known else 0 for t in topics}


def _held(asker: Any, topic: str, partition: int, time_limit_s: float) -> int:
    first, end = asker.get_watermark_offsets(ck.TopicPartition(topic, partition), timeout=time_limit_s)
    return int(end - first)


_askers: dict[str, Any] = {}


def _asker(bootstrap: str) -> Any:
    """One consumer a bootstrap address that only answers questions: each keeps threads and connections."""
    if bootstrap not in _askers:
        _askers[bootstrap] = ck.Consumer({"bootstrap.servers": bootstrap, "group.id": "torpor-ask", **QUIET})
    return _askers[bootstrap]


_admins: dict[str, Any] = {}


def _admin(bootstrap: str) -> Any:
    """One admin client a bootstrap address: each keeps threads and connections."""
    if bootstrap not in _admins:
        _admins[bootstrap] = _vendor.AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 10_000, **QUIET})
    return _admins[bootstrap]
