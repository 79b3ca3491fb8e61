"""What a KafkaSource and a PingSource make of records and time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from aiohttp import web

from eventing import kafka
from eventing.envelope import from_request, to_record, to_request
from eventing.local.delivery import Counts, Courier
from eventing.local.pings import due, route_of, tick
from eventing.local.resources import Delivery, KafkaSource, PingSource, Resources, Sink
from eventing.local.sources import event_of
from tests.local.subscriber import Subscriber, delivered, dispatching, new_topic, produce, sinks, subscribing
from tests.local.support import event, until


def a_source(topic: str, subscriber: Subscriber) -> KafkaSource:
    return KafkaSource("torpor", "inbox", (topic,), f"g-{topic}", Sink(uri=subscriber.url), Delivery(), from_latest=False)


async def test_a_kafka_source_carries_a_tombstone_by_its_key_and_headers(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce(topic, None, b"k", [("X-Reason", b"gone")])
    await producer.close()
    async with subscribing() as subscriber:
        source = a_source(topic, subscriber)
        async with dispatching(kafka_bootstrap, Resources(sources=(source,))) as dispatcher:
            await until(lambda: delivered(dispatcher) == 1)
    (got,) = subscriber.events
    assert (got.type, got.get("key"), got.get("kafkaheaderxreason"), got.data or b"") == (
        "dev.knative.kafka.event",
        "k",
        "gone",
        b"",
    )


async def test_a_source_from_latest_takes_only_what_comes_after_it(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, event(id="before"))
    async with subscribing() as subscriber:
        latest = replace(a_source(topic, subscriber), from_latest=True)
        async with dispatching(kafka_bootstrap, Resources(sources=(latest,))) as dispatcher:
            for number in range(1000):  # until the source has its partitions
                await produce(kafka_bootstrap, topic, event(id=f"after{number}"))
                if subscriber.events:
                    break
            await until(lambda: delivered(dispatcher) >= 1)
    assert "before" not in [e.id for e in subscriber.events]


async def test_a_kafka_source_wraps_what_is_no_cloudevent_and_passes_on_what_is(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce(topic, b'{"topic": "x"}', b"k", [("X-Foo_1", b"bar"), ("content-type", b"application/JSON")])
    headers, key, value = to_record(event(id="whole", partitionkey="p"))
    await producer.produce(topic, value, key, [*headers, ("stray", b"gone")])
    await producer.close()
    async with subscribing() as subscriber:
        source = a_source(topic, subscriber)
        async with dispatching(kafka_bootstrap, Resources(sources=(source,))):
            await until(lambda: len(subscriber.events) == 2)
    wrapped, passed = subscriber.events
    assert wrapped.data == b'{"topic": "x"}'
    assert "time" in wrapped.attributes
    assert {k: v for k, v in wrapped.attributes.items() if k != "time"} == {
        "specversion": "1.0", "id": "partition:0/offset:0", "type": "dev.knative.kafka.event",
        "source": f"/apis/v1/namespaces/torpor/kafkasources/inbox#{topic}", "subject": "partition:0#0",
        "partitionkey": "k", "key": "k", "kafkaheaderxfoo1": "bar", "datacontenttype": "application/json",
        "knativekafkapartition": "0", "knativekafkaoffset": "0",
    }  # fmt: skip
    assert (passed.id, passed.get("knativekafkapartition"), passed.get("knativekafkaoffset")) == ("whole", "0", "1")
    assert "stray" not in str(passed.attributes)


def test_what_a_source_makes_of_a_hostile_record_can_be_sent_on() -> None:
    headers = [("X\r\nEvil: 1", b"a\r\nb: c\x00"), ("x" * 200, b"\xff\xfe"), ("Content-Type", b"text/plain\r\nEvil: 1")]
    record = kafka.Record("inbox", 0, 7, b"\x00key\n", b"[" * 100_000, headers)
    made = event_of(record, KafkaSource("torpor", "s", ("inbox",), "g", Sink(uri="http://x/"), Delivery(), False, False))
    assert from_request(*to_request(made)) == made


async def test_a_ping_source_sends_its_data() -> None:
    ping = PingSource("torpor", "tick", "* * * * *", Sink(), content_type="application/json", data='{"tick": true}')
    now = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
    got = tick(ping, now)
    assert (got.type, got.source) == ("dev.knative.sources.ping", "/apis/v1/namespaces/torpor/pingsources/tick")
    assert (got.data, got.get("datacontenttype"), got.get("time")) == (
        b'{"tick": true}',
        "application/json",
        now.isoformat(),
    )


@pytest.mark.parametrize(
    ("schedule", "zone", "then"),
    [
        ("30 9 * * *", None, "2026-11-02T09:30:00+00:00"),
        ("30 9 * * *", "Europe/Berlin", "2026-11-02T09:30:00+01:00"),
        ("30 9 * * *", "America/New_York", "2026-11-01T09:30:00-05:00"),
        ("30 0 9 * * *", None, "2026-11-02T09:00:30+00:00"),
        ("*/20 * * * * *", None, "2026-11-01T12:00:20+00:00"),
        ("@hourly", None, "2026-11-01T13:00:00+00:00"),
    ],
)
def test_a_schedule_is_in_its_time_zone_or_utc_and_of_six_fields_the_first_is_seconds(
    schedule: str, zone: str | None, then: str
) -> None:
    now = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
    assert due(PingSource("torpor", "tick", schedule, Sink(), timezone=zone), now).isoformat() == then


@pytest.mark.parametrize(("status", "times"), [(503, 6), (429, 6), (500, 1), (408, 1)])
async def test_a_tick_is_tried_six_times_after_the_codes_of_its_own_adapter(
    kafka_bootstrap: str, status: int, times: int
) -> None:
    ping = PingSource("torpor", "tick", "* * * * * *", Sink())
    async with subscribing() as subscriber, sinks(kafka_bootstrap) as ways:
        subscriber.answer = lambda _: web.Response(status=status)
        counts = Counts()
        route = replace(route_of(ping), sink=Sink(uri=subscriber.url))
        await Courier(ways, asyncio.Event()).deliver(tick(ping, datetime.now(UTC)), route, counts)
    assert (len(subscriber.events), counts.dropped) == (times, 1)


async def test_a_ping_source_ticks_by_its_schedule(kafka_bootstrap: str) -> None:
    async with subscribing() as subscriber:
        every_second = PingSource("torpor", "tick", "* * * * * *", Sink(uri=subscriber.url), data="x")
        async with dispatching(kafka_bootstrap, Resources(pings=(every_second,))):
            await until(lambda: len(subscriber.events) >= 2, 4)
