"""An Apache Kafka of one node, broker and controller in one process, on loopback; its data lies in the state folder."""

from __future__ import annotations

import contextlib

from eventing.local import kafka_java, ports, processes
from eventing.local.config import Config, Progress
from eventing.local.downloads import kafka_jars
from eventing.local.errors import ServiceError
from eventing.local.kafka_archive import archive

NAME = "kafka"
START_LIMIT_S = 60.0
ADOPT_LIMIT_S = 15.0


def start(config: Config, progress: Progress) -> processes.Service:
    """Start Kafka, or adopt the one that runs from this state folder; returns once it answers.

    Raises:
        DownloadError: when Kafka must be fetched and cannot be.
        ServiceError: when it does not come up, or its port is taken; the message says by whom, or has its last words.
    """
    if (running := _adopted(config)) is not None:
        progress(NAME, f"Apache Kafka runs already on {config.bootstrap} (pid {running.pid}): adopted", None)
        with contextlib.suppress(ServiceError):  # it was dying, or hung: it is stopped now
            return _ready(running, config, progress, ADOPT_LIMIT_S)
    jars = kafka_jars(config, progress)
    classes = archive(config, jars, progress)
    _check_ports(config)
    kafka_java.prepare(config.state / "kafka", jars, _settings(config))
    progress(NAME, f"starting Apache Kafka on {config.bootstrap}", None)
    flags = (f"-XX:SharedArchiveFile={classes}",) if classes else ()
    command = kafka_java.command(jars, "kafka.Kafka", kafka_java.PROPERTIES, flags=flags)
    service = processes.start(config.state, NAME, command, kafka_java.environ(), config.state / "kafka")
    return _ready(service, config, progress)


def stop(config: Config) -> None:
    """Stop it, if it runs."""
    if (running := processes.find(config.state, NAME)) is not None:
        processes.stop(running)


def _adopted(config: Config) -> processes.Service | None:
    """The one that runs with the same settings; one with others is stopped, and started anew with these."""
    running = processes.find(config.state, NAME)
    if running is None:
        return None
    properties = config.state / "kafka" / kafka_java.PROPERTIES
    if properties.is_file() and properties.read_text() == _settings(config):
        return running
    processes.stop(running)
    return None


def _settings(config: Config) -> str:
    return kafka_java.properties(config.ports.kafka, config.ports.kafka_controller)


def _check_ports(config: Config) -> None:
    wanted = ((config.ports.kafka, "kafka"), (config.ports.kafka_controller, "kafka controller"))
    if problems := [problem for port, what in wanted if (problem := ports.conflict(port, what))]:
        raise ServiceError("Apache Kafka cannot be started: " + "; ".join(problems))


def _ready(
    service: processes.Service, config: Config, progress: Progress, limit_s: float = START_LIMIT_S
) -> processes.Service:
    # A connection is not enough: the broker must take requests. Its client is heavy: loaded only when it is needed.
    from eventing.kafka.probe import answers

    def ready() -> bool:
        return ports.listens(config.ports.kafka) and answers(config.bootstrap)

    return processes.wait(service, f"Apache Kafka on {config.bootstrap}", ready, limit_s, progress)
