"""What an event is told of the record that it came in, and what a KafkaSource makes of a record: an event in any case."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from eventing.envelope import Event, cleaned, from_record
from eventing.errors import NotACloudEventError
from eventing.kafka import Record
from eventing.local.resources import KafkaSource


def placed(record: Record) -> Event:
    """The record's CloudEvent with its place in Kafka.

    Raises:
        NotACloudEventError: when the record is no CloudEvent.
    """
    return _with_place(from_record(record.headers, record.key, record.value), record)


def event_of(record: Record, source: KafkaSource) -> Event:
    """The record's CloudEvent, or else an event that carries the record; either with its place in Kafka."""
    try:
        return placed(record)
    except NotACloudEventError:
        return _with_place(_wrapped(record, source), record)


def _with_place(event: Event, record: Record) -> Event:
    return event.having(knativekafkapartition=str(record.partition), knativekafkaoffset=str(record.offset))


def _wrapped(record: Record, source: KafkaSource) -> Event:
    attributes = {
        "specversion": "1.0",
        "id": f"partition:{record.partition}/offset:{record.offset}",
        "type": "dev.knative.kafka.event",
        "source": f"/apis/v1/namespaces/{source.namespace}/kafkasources/{source.name}#{record.topic}",
        "subject": f"partition:{record.partition}#{record.offset}",
    }
    if record.timestamp_ms >= 0:
        attributes["time"] = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).isoformat()
    if record.key is not None:
        attributes["partitionkey"] = attributes["key"] = cleaned(record.key.decode("utf-8", "replace"))
    for name, raw in record.headers:
        value = cleaned((raw or b"").decode("utf-8", "replace"))
        if name.lower() == "content-type":
            attributes["datacontenttype"] = value.lower()
        else:
            attributes[("kafkaheader" + re.sub("[^a-z0-9]", "", name.lower()))[:64]] = value
    return Event(attributes, record.value)
