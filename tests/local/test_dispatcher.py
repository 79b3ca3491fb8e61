"""The dispatcher on a real Kafka: groups, order, commits, restart, sources."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from uuid import uuid4

import confluent_kafka as ck
from aiohttp import web

from eventing import kafka
from eventing.envelope import Event, from_request, to_json, to_record, to_request
from eventing.local.filters import trigger_filter
from eventing.local.pings import tick
from eventing.local.resources import Broker, Delivery, KafkaSource, PingSource, Resources, Sink, Trigger
from eventing.local.sources import event_of
from tests.local.subscriber import Subscriber, dispatching, subscribing
from tests.local.support import event, until


async def new_topic(bootstrap: str, partitions: int = 1) -> str:
    name = f"t{uuid4().hex[:8]}"
    await asyncio.to_thread(kafka.create_topics, bootstrap, [kafka.TopicSpec(name, partitions)])
    return name


async def produce(bootstrap: str, topic: str, *events: Event) -> None:
    producer = kafka.Producer(bootstrap)
    for one in events:
        headers, key, value = to_record(one)
        await producer.produce(topic, value, key, headers)
    await producer.close()


def a_trigger(topic: str, subscriber: Subscriber, name: str = "t", ordered: bool = False, **delivery: float) -> Trigger:
    how = Delivery(**({"retry": 20, "delay_s": 0.02, "linear": True} | delivery))  # type: ignore[arg-type]
    takes = trigger_filter(None, [{"prefix": {"type": "test"}}])
    return Trigger(
        "torpor", f"{name}-{topic}", Broker("torpor", topic, topic), takes, Sink(uri=subscriber.url), how, ordered
    )


async def lag(bootstrap: str, trigger: Trigger) -> int:
    """How many records of its topic the group has not committed, as another client sees it."""

    def asked() -> int:
        client = ck.Consumer({"bootstrap.servers": bootstrap, "group.id": trigger.group})
        topic = trigger.broker.topic
        try:
            places = [ck.TopicPartition(topic, p) for p in client.list_topics(topic, timeout=5).topics[topic].partitions]
            ends = [client.get_watermark_offsets(place, timeout=5)[1] for place in places]
            return sum(ends) - sum(max(0, place.offset) for place in client.committed(places, timeout=5))
        finally:
            client.close()

    return await asyncio.to_thread(asked)


async def test_every_trigger_is_a_group_of_its_own_from_the_earliest_offset_and_filters(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap, 2)
    sent = [event(id=str(n), partitionkey=str(n)) for n in range(10)]
    await produce(kafka_bootstrap, topic, *sent, event("another"))
    async with subscribing() as one, subscribing() as two:
        triggers = a_trigger(topic, one, "one"), a_trigger(topic, two, "two")
        async with dispatching(kafka_bootstrap, Resources(triggers=triggers)) as dispatcher:
            await until(lambda: len(one.events) == len(two.events) == 10)
            counts = dispatcher.counts[f"trigger torpor/one-{topic}"]
            await until(lambda: counts.filtered == 1)
        assert sorted(e.id for e in one.events) == sorted(e.id for e in sent)
        assert one.events[0] in sent
        assert [await lag(kafka_bootstrap, t) for t in triggers] == [0, 0]


async def test_unordered_has_many_in_flight_but_never_more_than_50(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, *(event() for _ in range(120)))
    go = asyncio.Event()

    async def wait(_: Event) -> web.Response:
        await go.wait()
        return web.Response(status=204)

    async with subscribing() as subscriber:
        subscriber.answer = wait
        async with dispatching(kafka_bootstrap, Resources(triggers=(a_trigger(topic, subscriber),))):
            await until(lambda: subscriber.busy == 50)
            await asyncio.sleep(0.2)
            assert len(subscriber.events) == 50
            go.set()
            await until(lambda: len(subscriber.events) == 120)
        assert subscriber.most_busy == 50


async def test_ordered_has_one_in_flight_per_partition_retries_included(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap, 2)
    await produce(kafka_bootstrap, topic, *(event(id=f"{k}{n}", partitionkey=k) for n in range(60) for k in "ad"))
    failed: set[str] = set()

    async def answer(got: Event) -> web.Response:
        await asyncio.sleep(0.001)
        if got.id.endswith("5") and got.id not in failed:
            failed.add(got.id)
            return web.Response(status=500)
        return web.Response(status=204)

    async with subscribing() as subscriber:
        subscriber.answer = answer
        trigger = a_trigger(topic, subscriber, ordered=True)
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))):
            await until(lambda: len(subscriber.events) == 120 + len(failed) == 132)
        for key in "ad":
            got = [e.id for e in subscriber.events if e.get("partitionkey") == key]
            once = [id for n, id in enumerate(got) if n == 0 or got[n - 1] != id]
            assert once == [f"{key}{n}" for n in range(60)]
        assert subscriber.most_busy <= 2
        assert await lag(kafka_bootstrap, trigger) == 0


async def test_a_blocked_partition_blocks_no_other(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap, 2)
    await produce(kafka_bootstrap, topic, *(event(id=f"{k}{n}", partitionkey=k) for n in range(200) for k in "ad"))
    async with subscribing() as subscriber:
        subscriber.answer = lambda got: web.Response(status=503 if got.get("partitionkey") == "a" else 204)
        trigger = a_trigger(topic, subscriber, ordered=True, delay_s=30)
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))):
            await until(lambda: len([e for e in subscriber.events if e.get("partitionkey") == "d"]) == 200)
            assert [e.id for e in subscriber.events if e.get("partitionkey") == "a"] == ["a0"]


async def test_a_restart_in_the_middle_redelivers_what_was_not_committed_and_nothing_below(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, *(event(id=str(n)) for n in range(10)))
    stuck = asyncio.Event()

    async def answer(got: Event) -> web.Response:
        if got.id == "4":
            await stuck.wait()
        return web.Response(status=204)

    async with subscribing() as subscriber:
        subscriber.answer = answer
        trigger = a_trigger(topic, subscriber)
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))) as dispatcher:
            counts = dispatcher.counts[f"trigger torpor/{trigger.name}"]
            await until(lambda: counts.delivered == 9)
        assert await lag(kafka_bootstrap, trigger) == 6
        subscriber.events.clear()
        stuck.set()
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))):
            await until(lambda: len(subscriber.events) == 6)
        assert sorted(e.id for e in subscriber.events) == list("456789")
        assert await lag(kafka_bootstrap, trigger) == 0


async def test_a_graceful_stop_lets_deliveries_end(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, event())

    async def answer(_: Event) -> web.Response:
        await asyncio.sleep(0.4)
        return web.Response(status=204)

    async with subscribing() as subscriber:
        subscriber.answer = answer
        trigger = a_trigger(topic, subscriber)
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,)), grace_s=3):
            await until(lambda: len(subscriber.events) == 1)
        assert await lag(kafka_bootstrap, trigger) == 0


async def test_a_consumer_that_its_group_takes_no_more_is_replaced(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    async with subscribing() as subscriber:
        trigger = a_trigger(topic, subscriber)
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))):
            await produce(kafka_bootstrap, topic, event(id="before"))
            await until(lambda: [e.id for e in subscriber.events] == ["before"])
            # As Kafka itself may see a consumer after a sudden death: another one has its name.
            other = kafka.Consumer(kafka_bootstrap, trigger.group, [topic], member="local")
            with contextlib.suppress(kafka.KafkaUnavailableError):
                for _ in range(30):
                    await other.batch(1)
            await other.close()
            await produce(kafka_bootstrap, topic, event(id="after"))
            await until(lambda: "after" in [e.id for e in subscriber.events])


async def test_a_record_that_is_no_cloudevent_is_dropped_for_a_trigger_and_counted(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce(topic, b"plain")
    await producer.produce(topic, b"{", None, [("content-type", b"application/cloudevents+json")])
    await producer.produce(topic, to_json(event(id="whole")), None, [("content-type", b"application/cloudevents+json")])
    await producer.close()
    async with subscribing() as subscriber:
        trigger = a_trigger(topic, subscriber)
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))) as dispatcher:
            await until(lambda: subscriber.events)
            assert dispatcher.counts[f"trigger torpor/{trigger.name}"].not_events == 2
        assert [e.id for e in subscriber.events] == ["whole"]
        assert await lag(kafka_bootstrap, trigger) == 0


async def test_a_kafka_source_wraps_what_is_no_cloudevent_and_passes_on_what_is(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce(topic, b'{"topic": "x"}', b"k", [("X-Foo_1", b"bar"), ("content-type", b"application/JSON")])
    headers, key, value = to_record(event(id="whole", partitionkey="p"))
    await producer.produce(topic, value, key, [*headers, ("stray", b"gone")])
    await producer.close()
    async with subscribing() as subscriber:
        source = KafkaSource(
            "torpor", "inbox", (topic,), f"g-{topic}", Sink(uri=subscriber.url), Delivery(), from_latest=False
        )
        async with dispatching(kafka_bootstrap, Resources(sources=(source,))):
            await until(lambda: len(subscriber.events) == 2)
    wrapped, passed = subscriber.events
    assert wrapped.data == b'{"topic": "x"}'
    assert "time" in wrapped.attributes
    assert {k: v for k, v in wrapped.attributes.items() if k != "time"} == {
        "specversion": "1.0", "id": "partition:0/offset:0", "type": "dev.knative.kafka.event",
        "source": f"/apis/v1/namespaces/torpor/kafkasources/inbox#{topic}", "subject": "partition:0#0",
        "partitionkey": "k", "key": "k", "kafkaheaderxfoo1": "bar", "datacontenttype": "application/json",
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


async def test_a_ping_source_ticks_by_its_schedule(kafka_bootstrap: str) -> None:
    async with subscribing() as subscriber:
        every_second = PingSource("torpor", "tick", "* * * * * *", Sink(uri=subscriber.url), data="x")
        async with dispatching(kafka_bootstrap, Resources(pings=(every_second,))):
            await until(lambda: len(subscriber.events) >= 2, 4)
