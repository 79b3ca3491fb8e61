"""The edge to Kafka, on a real one."""

from __future__ import annotations

import asyncio
import logging

import pytest

from eventing import kafka
from eventing.errors import PayloadTooLargeError
from eventing.kafka.outages import Outages
from tests.local.kafka_proxy import Proxy


async def test_what_is_produced_is_read_back_and_what_is_not_read_is_counted(kafka_bootstrap: str) -> None:
    spec = kafka.TopicSpec("edge", partitions=2, config={"retention.ms": "604800000"})
    assert await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [spec]) == ["edge"]
    assert await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [spec]) == []
    producer = kafka.Producer(kafka_bootstrap)
    offsets = [await producer.produce("edge", f"{n}".encode(), b"one key", [("h", b"v")]) for n in range(5)]
    assert offsets == [0, 1, 2, 3, 4]
    found = await asyncio.to_thread(kafka.read, kafka_bootstrap, ["edge", "no_such_topic"])
    assert [(r.value, r.key, r.headers) for r in found] == [(f"{n}".encode(), b"one key", (("h", b"v"),)) for n in range(5)]

    consumer = kafka.Consumer(kafka_bootstrap, "edge-group", ["edge"])
    records: list[kafka.Record] = []
    while len(records) < 5:
        records += await consumer.batch(10)
    assert await _known(consumer) == 0
    consumer.done(records[2].place, 3)
    await consumer.close()
    assert await asyncio.to_thread(kafka.sizes, kafka_bootstrap, ["edge", "nope"]) == {"edge": 5, "nope": 0}

    again = kafka.Consumer(kafka_bootstrap, "edge-group", ["edge"])
    assert await again.unread() is None  # it has no partition yet
    assert [r.offset for r in await again.batch(1, 5.0)] == [3]
    assert await _known(again) == 1
    assert [r.offset for r in await again.batch(10, 5.0)] == [4]
    assert await _known(again) == 0
    again.done(records[4].place, 5)
    await again.close()
    idle = kafka.Consumer(
        kafka_bootstrap, "edge-group", ["edge"]
    )  # what is committed is not unread, though this one read nothing
    assert await idle.batch(1, 1.0) == []
    assert await _known(idle) == 0
    await idle.close()
    await producer.close()


async def test_records_are_handed_over_as_they_come_until_the_time_or_the_room_is_over(kafka_bootstrap: str) -> None:
    await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [kafka.TopicSpec("coming")])
    producer = kafka.Producer(kafka_bootstrap)
    consumer = kafka.Consumer(kafka_bootstrap, "coming-group", ["coming"])
    while await consumer.unread() is None:  # it has its partition then
        await consumer.batch(1, 0.1)
    taken: list[bytes | None] = []
    reading = asyncio.create_task(consumer.each(lambda record: taken.append(record.value), 3, 60.0))
    for number in range(3):
        assert not reading.done()
        await producer.produce("coming", f"{number}".encode())
        async with asyncio.timeout(10):
            while len(taken) <= number:
                await asyncio.sleep(0.01)
    await asyncio.wait_for(reading, 10)  # the room, not the time
    await asyncio.wait_for(consumer.each(lambda record: taken.append(record.value), 3, 0.1), 10)
    assert taken == [b"0", b"1", b"2"]
    await asyncio.gather(consumer.close(), producer.close())


async def test_a_coordinator_that_is_not_ready_does_not_keep_a_group_from_reading(kafka_bootstrap: str) -> None:
    await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [kafka.TopicSpec("returning", partitions=2)])
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce("returning", b"0", b"a key")
    async with Proxy(kafka_bootstrap, refusals=3).listening() as proxy:
        for number in range(2):  # a group that has committed nothing, then one that has
            consumer = kafka.Consumer(proxy.address, "returning-group", ["returning"])
            read = await consumer.batch(1, 30.0)
            assert [record.value for record in read] == [f"{number}".encode()]
            assert proxy.refused == proxy.refusals
            consumer.done(read[0].place, number + 1)
            await consumer.close()
            await producer.produce("returning", f"{number + 1}".encode(), b"a key")
            proxy.refused = 0
    await producer.close()


async def test_a_member_that_waits_for_its_coordinator_can_be_asked_and_closed(kafka_bootstrap: str) -> None:
    await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [kafka.TopicSpec("waiting")])
    async with Proxy(kafka_bootstrap, refusals=1_000_000).listening() as proxy:
        consumer = kafka.Consumer(proxy.address, "waiting-group", ["waiting"])
        reading = asyncio.create_task(consumer.batch(1, 1.0))
        async with asyncio.timeout(20):
            while not proxy.refused:
                await asyncio.sleep(0.01)
            assert await consumer.unread(0.2) is None
            await consumer.close()
            assert await reading == []


async def _known(consumer: kafka.Consumer) -> int:
    while (unread := await consumer.unread()) is None:
        await asyncio.sleep(0.05)
    return unread


async def test_a_group_of_the_latest_has_nothing_to_read_of_what_was_there(kafka_bootstrap: str) -> None:
    await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [kafka.TopicSpec("old")])
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce("old", b"1")
    consumer = kafka.Consumer(kafka_bootstrap, "latest-group", ["old"], from_latest=True)
    assert await consumer.batch(1, 1.0) == []
    assert await _known(consumer) == 0
    await asyncio.gather(consumer.close(), producer.close())


async def test_a_new_static_member_takes_the_place_of_the_old_at_once(kafka_bootstrap: str) -> None:
    await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [kafka.TopicSpec("static")])
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce("static", b"1")
    old = kafka.Consumer(kafka_bootstrap, "static-group", ["static"], member="m")
    assert len(await old.batch(1, 5.0)) == 1
    new = kafka.Consumer(kafka_bootstrap, "static-group", ["static"], member="m")
    assert [r.offset for r in await new.batch(1, 3.0)] == [0]  # long before a session of 6 s has ended
    with pytest.raises(kafka.KafkaUnavailableError, match="static-group"):
        while True:
            await old.batch(1)
    await asyncio.gather(old.close(), new.close(), producer.close())


async def test_a_static_member_that_subscribes_to_more_reads_it(kafka_bootstrap: str) -> None:
    await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [kafka.TopicSpec("first"), kafka.TopicSpec("added")])
    producer = kafka.Producer(kafka_bootstrap)
    await producer.produce("first", b"1")
    old = kafka.Consumer(kafka_bootstrap, "growing-group", ["first"], member="m")
    assert len(await old.batch(1, 5.0)) == 1
    await old.close()  # a static member is gone only when its session ends
    await producer.produce("added", b"2")
    new = kafka.Consumer(kafka_bootstrap, "growing-group", ["first", "added"], member="m")
    found = set()
    async with asyncio.timeout(30):
        while found != {("first", 0), ("added", 0)}:
            found |= {(record.topic, record.offset) for record in await new.batch(10, 1.0)}
    await asyncio.gather(new.close(), producer.close())


async def test_errors_are_translated(kafka_bootstrap: str) -> None:
    producer = kafka.Producer(kafka_bootstrap, time_limit_s=0.5)
    with pytest.raises(PayloadTooLargeError, match="at most 1048576 bytes"):
        await producer.produce("edge", b"x" * 1_200_000)
    with pytest.raises(kafka.KafkaUnavailableError, match="never_made"):
        await producer.produce("never_made", b"x")
    await producer.close()
    away = kafka.Producer("127.0.0.1:9", time_limit_s=0.3)
    with pytest.raises(kafka.KafkaUnavailableError, match=r"edge on 127.0.0.1:9"):
        await away.produce("edge", b"x")
    with pytest.raises(kafka.KafkaUnavailableError, match=r"Kafka at 127.0.0.1:9"):
        await asyncio.to_thread(kafka.sizes, "127.0.0.1:9", ["t"], 0.3)
    with pytest.raises(kafka.KafkaUnavailableError, match=r"Kafka at 127.0.0.1:9"):
        await asyncio.to_thread(kafka.read, "127.0.0.1:9", ["t"], 0.3)


def test_an_outage_is_told_once_however_many_clients_notice_it(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    log = logging.Logger("test")
    log.addFilter(Outages(lambda: now[0]))
    log.addHandler(caplog.handler)

    def notice(client: int, address: str = "127.0.0.1:9092") -> None:
        told = f"{address}/1: Connect to ipv4#{address} failed: Connection refused (after 0ms in state CONNECT)"
        log.error("%s [%s] %s", "FAIL", f"rdkafka#consumer-{client}", f"[thrd:{address}/1]: {told}")

    for client in range(20):
        now[0] += 5
        notice(client)
    log.error("%s [%s] %s", "MAXPOLL", "rdkafka#consumer-1", "left the group")
    assert [one.getMessage().partition(":")[0] for one in caplog.records] == [
        "Kafka is away, and is tried again until it is there",
        "MAXPOLL [rdkafka#consumer-1] left the group",
    ]
    assert "127.0.0.1:9092 failed: Connection refused" in caplog.records[0].getMessage()
    notice(1, "127.0.0.2:9092")
    now[0] += 60
    notice(1)
    assert len(caplog.records) == 4  # another broker, and another outage
