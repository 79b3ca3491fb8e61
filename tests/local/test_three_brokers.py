"""A local Kafka of three brokers: what it keeps when one of them dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import confluent_kafka as ck
import psutil
import pytest
from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

from eventing import kafka
from eventing.kafka.probe import answers
from eventing.local import kafka_server, ports, preflight, processes, services
from eventing.local.config import Config, Ports
from eventing.local.errors import PreflightError, ServiceError
from eventing.local.platform import replicated

ROOT = Path(__file__).parents[2]
TOPIC = kafka.TopicSpec("kept", partitions=6, config={"retention.ms": "604800000"})


def silent(*_: object) -> None:
    pass


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Config]:
    first = ports.row(11)
    state = tmp_path_factory.mktemp("three")
    config = Config(project=ROOT, manifests=ROOT, state=state, ports=Ports(*range(first, first + 11)), brokers=3)
    kafka_server.start(config, silent)
    kafka.create_topics(config.bootstrap, replicated([TOPIC], config.brokers))
    yield config
    kafka_server.stop(config)
    assert list(processes.leftovers(state)) == []


def test_every_topic_is_kept_threefold_and_acknowledged_by_two(three: Config) -> None:
    asyncio.run(_read_one(three))  # a group has committed: its topic is there
    admin = AdminClient({"bootstrap.servers": three.bootstrap})
    topics = admin.list_topics(timeout=10).topics
    assert {"kept", "__consumer_offsets"} <= set(topics)
    for name in topics:
        assert {len(partition.replicas) for partition in topics[name].partitions.values()} == {3}, name
        resource = ConfigResource(ResourceType.TOPIC, name)
        entries = admin.describe_configs([resource])[resource].result()
        assert entries["min.insync.replicas"].value == "2", name


async def _read_one(config: Config) -> None:
    producer, consumer = kafka.Producer(config.bootstrap), kafka.Consumer(config.bootstrap, "first", ["kept"])
    await producer.produce("kept", b"first", b"first")
    while not (found := await consumer.batch(1, 1.0)):
        pass
    consumer.done(found[0].place, found[0].offset + 1)
    await asyncio.gather(producer.close(), consumer.close())


async def test_a_leaders_death_loses_nothing_and_consumers_go_on_meanwhile(three: Config) -> None:
    before = {name: processes.find(three.state, name) for name in kafka_server.NAMES}
    producer, acknowledged = kafka.Producer(three.bootstrap, 30.0), list[bytes]()
    consumer, consumed = kafka.Consumer(three.bootstrap, "reader", ["kept"]), set[bytes]()
    ended = asyncio.Event()

    async def produce(worker: int) -> None:
        number = 0
        while not ended.is_set():
            value = f"{worker}-{number}".encode()
            with contextlib.suppress(kafka.KafkaUnavailableError):  # not acknowledged: nothing was promised
                await producer.produce("kept", value, value)
                acknowledged.append(value)
            number += 1
            await asyncio.sleep(0.01)

    async def consume() -> None:
        while not ended.is_set() or not set(acknowledged) <= consumed:
            consumed.update(record.value or b"" for record in await consumer.batch(100, 0.5))

    working = [asyncio.create_task(produce(n)) for n in range(4)]
    reading = asyncio.create_task(consume())
    await _more(acknowledged, 200)
    victim = kafka_server.NAMES[(await asyncio.to_thread(_leader, three)) - 1]
    killed = before[victim]
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    await _more(acknowledged, 200)  # two of three go on
    assert processes.find(three.state, victim) is None
    keeping = asyncio.create_task(asyncio.to_thread(kafka_server.start, three, silent))
    while (again := processes.find(three.state, victim)) is None:
        await asyncio.sleep(0.1)
    assert again.pid != killed.pid
    assert all(processes.find(three.state, name) == before[name] for name in before if name != victim)
    await keeping
    ended.set()
    await asyncio.gather(*working)
    await asyncio.wait_for(reading, 60)
    kept = [record.value for record in await asyncio.to_thread(kafka.read, three.bootstrap, ["kept"])]
    assert set(acknowledged) <= set(kept)
    assert len(kept) == len(set(kept))
    await asyncio.gather(producer.close(), consumer.close())


async def _more(found: list[bytes], count: int) -> None:
    enough = len(found) + count
    while len(found) < enough:
        await asyncio.sleep(0.05)


def _leader(config: Config) -> int:
    """The broker that leads the topic's first partition."""
    consumer = ck.Consumer({"bootstrap.servers": config.bootstrap, "group.id": "asks"})
    try:
        return int(consumer.list_topics("kept", timeout=10).topics["kept"].partitions[0].leader)
    finally:
        consumer.close()


async def test_a_broker_that_ends_by_itself_is_started_anew(three: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    # The others are not there, and not to be kept: of the services, Kafka alone.
    told = list[str]()
    monkeypatch.setattr(services, "start", lambda config, progress: kafka_server.start(config, silent))
    monkeypatch.setattr(services.scheduler, "NAME", kafka_server.NAME)
    keeping = asyncio.create_task(services.keep(replace(three, pools=ROOT), lambda _, doing, __: told.append(doing), 0.2))
    last = processes.find(three.state, "kafka-3")
    assert last is not None
    os.kill(last.pid, signal.SIGKILL)
    while (again := processes.find(three.state, "kafka-3")) is None or again.pid == last.pid:
        await asyncio.sleep(0.1)
    keeping.cancel()
    assert told == ["kafka-3 ended by itself: starting anew"]
    await asyncio.to_thread(kafka_server.start, three, silent)  # it answers again


def test_two_that_answer_wait_for_no_third_that_is_coming_back(three: Config) -> None:
    victim = processes.find(three.state, "kafka-2")
    assert victim is not None
    os.kill(victim.pid, signal.SIGKILL)
    psutil.Process(victim.pid).wait(10)
    kafka_server.start(three, silent, whole=False)
    coming = processes.find(three.state, "kafka-2")
    assert coming is not None and coming.pid != victim.pid
    os.kill(coming.pid, signal.SIGSTOP)  # as slow as can be
    kafka_server.start(three, silent, whole=False)
    assert processes.find(three.state, "kafka-2") == coming
    os.kill(coming.pid, signal.SIGCONT)
    kafka_server.start(three, silent)
    assert processes.find(three.state, "kafka-2") == coming
    assert answers(f"127.0.0.1:{three.ports.kafka_2}")


def test_a_cluster_keeps_its_number_of_brokers(three: Config) -> None:
    with pytest.raises(ServiceError, match=r"made with TORPOR_BROKERS=3, not 1: start it so, or choose another folder"):
        kafka_server.start(replace(three, brokers=1), silent)


def test_the_ports_of_all_brokers_are_looked_at_before_the_start(tmp_path: Path, three: Config) -> None:
    first = ports.row(11)
    config = Config(tmp_path, tmp_path, tmp_path / "state", ports=Ports(*range(first, first + 11)), brokers=3)
    taken = replace(config, ports=replace(config.ports, kafka_3=three.ports.kafka_2))
    with pytest.raises(PreflightError, match=rf"port {three.ports.kafka_2} \(kafka 3\) is taken by"):
        preflight.check(taken)
    preflight.check(replace(taken, brokers=1))
    preflight.check(three)  # its own hold them
