"""Topics: made, read from end to end, measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import confluent_kafka as ck
from confluent_kafka import admin as vendor_admin

from eventing.kafka.records import QUIET, KafkaUnavailableError, Place, Record, record_of, translating

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


def lag(bootstrap: str, groups: Mapping[str, Iterable[str]], time_limit_s: float = 5.0) -> dict[str, int]:
    """How many records of its topics each consumer group has yet to finish.

    Raises:
        KafkaUnavailableError: when Kafka cannot be reached.
    """
    admin = _admin(bootstrap)
    with translating(bootstrap):
        known = admin.list_topics(timeout=time_limit_s).topics
        of = {g: [(t, p) for t in topics if t in known for p in known[t].partitions] for g, topics in groups.items()}
        places = sorted({place for group in of.values() for place in group})
        firsts = _offsets(admin, places, _vendor.OffsetSpec.earliest(), time_limit_s)
        ends = _offsets(admin, places, _vendor.OffsetSpec.latest(), time_limit_s)
        asked = {g: _committed(admin, g, time_limit_s) for g in of}
        return {
            g: sum(max(0, ends[p] - max(committed.get(p, 0), firsts[p])) for p in of[g])
            for g, committed in ((g, asked[g]()) for g in of)
        }


def sizes(bootstrap: str, topics: Iterable[str], time_limit_s: float = 5.0) -> dict[str, int]:
    """How many offsets each topic holds, from its first to its end; 0 where it does not exist."""
    admin = _admin(bootstrap)
    with translating(bootstrap):
        known = admin.list_topics(timeout=time_limit_s).topics
        of = {t: [(t, p) for p in known[t].partitions] if t in known else [] for t in topics}
        places = [place for group in of.values() for place in group]
        firsts = _offsets(admin, places, _vendor.OffsetSpec.earliest(), time_limit_s)
        ends = _offsets(admin, places, _vendor.OffsetSpec.latest(), time_limit_s)
        return {t: sum(ends[p] - firsts[p] for p in group) for t, group in of.items()}


def _offsets(admin: Any, places: Sequence[Place], spec: Any, time_limit_s: float) -> dict[Place, int]:
    if not places:
        return {}
    asked = admin.list_offsets({ck.TopicPartition(*p): spec for p in places}, request_timeout=time_limit_s)
    return {(tp.topic, tp.partition): future.result().offset for tp, future in asked.items()}


def _committed(admin: Any, group: str, time_limit_s: float) -> Callable[[], dict[Place, int]]:
    (future,) = admin.list_consumer_group_offsets(
        [ck.ConsumerGroupTopicPartitions(group)], request_timeout=time_limit_s
    ).values()

    def answer() -> dict[Place, int]:
        try:
            listed = future.result().topic_partitions
        except ck.KafkaException as error:
            if error.args[0].code() == ck.KafkaError.GROUP_ID_NOT_FOUND:
                return {}
            raise
        return {(p.topic, p.partition): p.offset for p in listed if p.offset >= 0}

    return answer


_admins: dict[str, Any] = {}


def _admin(bootstrap: str) -> Any:
    """One admin client a bootstrap address: each keeps threads and connections."""
    if bootstrap not in _admins:
        _admins[bootstrap] = _vendor.AdminClient({"bootstrap.servers": bootstrap, "socket.timeout.ms": 10_000, **QUIET})
    return _admins[bootstrap]
