"""The dispatcher on a real Kafka: groups, order, commits, restart."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import confluent_kafka as ck
import pytest
from aiohttp import web

from eventing import kafka
from eventing.envelope import Event, from_record, to_json, to_record
from eventing.local.filters import trigger_filter
from eventing.local.resources import Broker, Delivery, Resources, Sink, Trigger
from tests.local.subscriber import Subscriber, delivered, dispatching, new_topic, produce, subscribing
from tests.local.support import event, until


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
            await until(lambda: all((c.delivered, c.filtered) == (10, 1) for c in dispatcher.counts.values()))
        assert sorted(e.id for e in one.events) == sorted(e.id for e in sent)
        assert one.events[0].having(knativekafkapartition=None, knativekafkaoffset=None) in sent
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
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))) as dispatcher:
            await until(lambda: delivered(dispatcher) == 120)
        assert (len(failed), len(subscriber.events)) == (12, 132)
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


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_poison_event_keeps_its_partition_no_longer_than_its_retries(kafka_bootstrap: str, ordered: bool) -> None:
    topic, dead = await new_topic(kafka_bootstrap), await new_topic(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, *(event(id=str(n), partitionkey="one") for n in range(100)))
    others, all_others, seen = set[str](), asyncio.Event(), list[int]()

    async def answer(got: Event) -> web.Response:
        if got.id != "3":
            others.add(got.id)
            if len(others) == 99:
                all_others.set()
            return web.Response(status=204)
        if not ordered:
            await all_others.wait()  # they come while the first attempt is still under way
        seen.append(len(others))
        return web.Response(status=500)

    async with subscribing() as subscriber:
        subscriber.answer = answer
        trigger = a_trigger(topic, subscriber, ordered=ordered, retry=4)
        trigger = replace(trigger, delivery=replace(trigger.delivery, dead_letter=Sink(broker=Broker("torpor", dead, dead))))
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))) as dispatcher:
            counts = dispatcher.counts[f"trigger torpor/{trigger.name}"]
            await until(lambda: (counts.delivered, counts.dead_lettered) == (99, 1), 30)
        assert seen == [3 if ordered else 99] * 5, "ordered waits for the retries, and unordered for nothing"
        assert await lag(kafka_bootstrap, trigger) == 0
    (letter,) = [from_record(r.headers, r.key, r.value) for r in kafka.read(kafka_bootstrap, [dead])]
    assert (letter.id, letter.get("knativeerrorcode")) == ("3", "500")


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
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))) as dispatcher:
            await until(lambda: delivered(dispatcher) == 6)
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
            await until(lambda: delivered(dispatcher) == 1)
            assert dispatcher.counts[f"trigger torpor/{trigger.name}"].not_events == 2
        assert [e.id for e in subscriber.events] == ["whole"]
        assert subscriber.headers[0]["ce-id"] == "whole"  # what was structured in the topic is sent in binary mode
        assert await lag(kafka_bootstrap, trigger) == 0


async def test_every_event_says_where_in_kafka_it_lies_and_filters_see_it(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, event(id="first"), event(id="second"))
    async with subscribing() as subscriber:
        trigger = replace(a_trigger(topic, subscriber), takes=trigger_filter({"knativekafkaoffset": "1"}, None))
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))) as dispatcher:
            await until(lambda: delivered(dispatcher) == 1)
    (got,) = subscriber.events
    assert (got.id, got.get("knativekafkapartition"), got.get("knativekafkaoffset")) == ("second", "0", "1")


async def test_a_record_without_a_value_is_an_event_if_its_headers_are_and_else_dropped(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce(topic, None, b"k", [("X-Reason", b"gone")])
    headers, key, value = to_record(event(id="empty", data=None))
    await producer.produce(topic, value, key, headers)
    await producer.close()
    async with subscribing() as subscriber:
        trigger = a_trigger(topic, subscriber)
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))) as dispatcher:
            await until(lambda: delivered(dispatcher) == 1)
            assert dispatcher.counts[f"trigger torpor/{trigger.name}"].not_events == 1
        assert [(e.id, e.data or b"") for e in subscriber.events] == [("empty", b"")]
        assert await lag(kafka_bootstrap, trigger) == 0


async def test_retries_start_anew_for_another_member_of_the_group(kafka_bootstrap: str) -> None:
    topic = await new_topic(kafka_bootstrap)
    await produce(kafka_bootstrap, topic, event(id="stubborn"))
    async with subscribing() as subscriber:
        subscriber.answer = lambda _: web.Response(status=503)
        trigger = a_trigger(topic, subscriber, retry=3, delay_s=0)
        held = replace(trigger, delivery=replace(trigger.delivery, delay_s=60))
        async with dispatching(kafka_bootstrap, Resources(triggers=(held,))):
            await until(lambda: len(subscriber.events) == 1)
        subscriber.events.clear()
        async with dispatching(kafka_bootstrap, Resources(triggers=(trigger,))) as dispatcher:
            await until(lambda: sum(c.dropped for c in dispatcher.counts.values()) == 1)
        assert [e.id for e in subscriber.events] == ["stubborn"] * 4
        assert await lag(kafka_bootstrap, trigger) == 0
