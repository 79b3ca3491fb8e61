"""An Apache Kafka on loopback, one node or a quorum of three, each broker and controller in one process of its own."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from eventing.local import kafka_java, ports, processes
from eventing.local.config import Config, Progress
from eventing.local.downloads import kafka_jars
from eventing.local.errors import ServiceError
from eventing.local.kafka_archive import archive

NAME = "kafka"
NAMES = (NAME, "kafka-2", "kafka-3")
START_LIMIT_S = 60.0
ADOPT_LIMIT_S = 15.0


@dataclass(frozen=True)
class Node:
    """One of them; its data and settings lie in `folder`."""

    name: str
    port: int
    controller_port: int
    folder: Path
    settings: str

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def properties(self) -> Path:
        return self.folder / kafka_java.PROPERTIES


def nodes(config: Config) -> list[Node]:
    """The nodes that the configuration asks for."""
    p = config.ports
    every = [(p.kafka, p.kafka_controller), (p.kafka_2, p.kafka_2_controller), (p.kafka_3, p.kafka_3_controller)]
    used = every[: config.brokers]
    return [
        Node(NAMES[n], *used[n], config.state / NAMES[n], kafka_java.properties(used, n + 1)) for n in range(config.brokers)
    ]


def start(config: Config, progress: Progress, whole: bool = True) -> processes.Service:
    """Start Kafka, or adopt what of it runs from this state folder; the first node, once all of them answer.

    Not `whole`: once a majority of them answers that ran before; what is coming back is not waited for then.

    Raises:
        DownloadError: when Kafka must be fetched and cannot be.
        ServiceError: when it does not come up, or its port is taken; the message says by whom, or has its last words.
    """
    wanted = nodes(config)
    _check_size(config)
    running = {node.name: found for node in wanted if (found := _adopted(node, config, progress)) is not None}
    started = _begin([node for node in wanted if node.name not in running], config, progress)
    enough = not whole and 2 * sum(node.name in running and _answers(node) for node in wanted) > len(wanted)
    for node in wanted:
        if node.name in running and not (enough and _is_young(running[node.name])):
            try:
                _ready(running[node.name], node, progress, ADOPT_LIMIT_S)
            except ServiceError:  # it was dying, or hung: it is stopped now
                started |= _begin([node], config, progress)
    if enough:
        return (running | started)[NAME]
    up = running | {node.name: _ready(started[node.name], node, progress) for node in wanted if node.name in started}
    return up[NAME]


def stop(config: Config) -> None:
    """Stop it, if it runs."""
    found = [running for name in NAMES if (running := processes.find(config.state, name)) is not None]
    with ThreadPoolExecutor(len(NAMES), "stop") as pool:
        list(pool.map(processes.stop, found))


def _adopted(node: Node, config: Config, progress: Progress) -> processes.Service | None:
    """The one that runs with the same settings; one with others is stopped, and started anew with these."""
    running = processes.find(config.state, node.name)
    if running is None:
        return None
    if node.properties.is_file() and node.properties.read_text() == node.settings:
        progress(node.name, f"Apache Kafka runs already on {node.address} (pid {running.pid}): adopted", None)
        return running
    processes.stop(running)
    return None


def _check_size(config: Config) -> None:
    """A cluster keeps its number of nodes: topics are replicated, and votes counted, by the one it was made with."""
    properties = config.state / NAME / kafka_java.PROPERTIES
    if not properties.is_file() or not (properties.parent / "data" / "meta.properties").exists():
        return
    voters = [line for line in properties.read_text().splitlines() if line.startswith("controller.quorum.voters=")]
    made_with = voters[0].count("@") if voters else 1
    if made_with != config.brokers:
        raise ServiceError(
            f"the Kafka in {config.state} was made with TORPOR_BROKERS={made_with}, not {config.brokers}: start it so, or "
            "choose another folder with TORPOR_STATE"
        )


def _begin(missing: list[Node], config: Config, progress: Progress) -> dict[str, processes.Service]:
    """Start the processes of nodes, side by side; they answer a while later."""
    if not missing:
        return {}
    jars = kafka_jars(config, progress)
    warm = archive(config, jars, progress)
    _check_ports(missing)
    flags = (f"-XX:AOTCache={warm}",) if warm else ()
    command = kafka_java.command(jars, "kafka.Kafka", kafka_java.PROPERTIES, flags=flags)

    def begin(node: Node) -> processes.Service:
        kafka_java.prepare(node.folder, jars, node.settings, kafka_java.cluster_id(config.state.absolute()))
        progress(node.name, f"starting Apache Kafka on {node.address}", None)
        return processes.start(config.state, node.name, command, kafka_java.environ(), node.folder)

    with ThreadPoolExecutor(len(missing), "kafka") as pool:
        return {service.name: service for service in pool.map(begin, missing)}


def _check_ports(starting: list[Node]) -> None:
    wanted = [
        (port, what) for n in starting for port, what in ((n.port, n.name), (n.controller_port, f"{n.name} controller"))
    ]
    if problems := [problem for port, what in wanted if (problem := ports.conflict(port, what))]:
        raise ServiceError("Apache Kafka cannot be started: " + "; ".join(problems))


def _is_young(service: processes.Service) -> bool:
    """Whether it may still be starting."""
    process = service.process
    return process is not None and time.time() - process.create_time() < START_LIMIT_S


def _answers(node: Node) -> bool:
    # A connection is not enough: the broker must take requests. Its client is heavy: loaded only when it is needed.
    from eventing.kafka.probe import answers

    return ports.listens(node.port) and answers(node.address)


def _ready(service: processes.Service, node: Node, progress: Progress, limit_s: float = START_LIMIT_S) -> processes.Service:
    what = f"Apache Kafka on {node.address}"
    return processes.wait(service, what, lambda: _answers(node), limit_s, progress)
