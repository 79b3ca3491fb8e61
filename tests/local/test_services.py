"""Kafka and the model server as services: real ones, from start to kill -9 and stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from eventing import kafka
from eventing.local import kafka_server, model_server, ports, processes, services
from eventing.local.config import Config, Ports
from eventing.local.errors import LocalPlatformError, ServiceError
from eventing.local.processes import Service
from inference.testing import FakeServer

ROOT = Path(__file__).parents[2]


def local_config(state: Path, model_url: str | None = None) -> Config:
    root = Path(__file__).parents[2]
    return Config(project=root, manifests=root, state=state, ports=Ports(*ports.unused(7)), model_url=model_url)


def silent(*_: object) -> None:
    pass


def test_kafka_is_adopted_and_survives_kill_9_other_ports_and_an_odd_folder(tmp_path: Path) -> None:
    config = local_config(tmp_path / "zu stand, ü")
    told: list[str] = []

    def tell(_: str, doing: str, __: float | None) -> None:
        told.append(doing)

    try:
        first = kafka_server.start(config, tell)
        kafka.create_topics(config.bootstrap, [kafka.TopicSpec("kept", partitions=2, config={})])
        assert kafka_server.start(config, tell) == first
        assert "adopted" in told[-1]

        os.kill(first.pid, signal.SIGKILL)
        begun = time.monotonic()
        second = kafka_server.start(config, tell)
        assert second.pid != first.pid
        assert time.monotonic() - begun < 15
        assert kafka.create_topics(config.bootstrap, [kafka.TopicSpec("kept", partitions=2, config={})]) == []

        moved = replace(config, ports=Ports(*ports.unused(7)))
        third = kafka_server.start(moved, tell)
        assert not second.alive
        assert kafka.create_topics(moved.bootstrap, [kafka.TopicSpec("kept", partitions=2, config={})]) == []
    finally:
        kafka_server.stop(config)
    assert not third.alive
    assert list(processes.leftovers(config.state)) == []
    kafka_server.stop(config)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which files a process has mapped")
def test_kafka_runs_from_its_archive(kafka_service: Service) -> None:
    mapped = {mapping.path for mapping in psutil.Process(kafka_service.pid).memory_maps()}
    assert [path for path in mapped if path.endswith(".aot")], "Java started without the archive, or refused it"


def test_somebody_elses_port_is_not_taken_for_ours(tmp_path: Path, kafka_bootstrap: str) -> None:
    theirs = int(kafka_bootstrap.rsplit(":", 1)[1])
    config = local_config(tmp_path)
    config = replace(config, ports=replace(config.ports, kafka=theirs, model=theirs))
    with pytest.raises(
        ServiceError, match=rf"Apache Kafka cannot be started: port {theirs} \(kafka\) is taken by .*TORPOR_PORT"
    ):
        kafka_server.start(config, silent)
    with pytest.raises(ServiceError, match=rf"the model server cannot be started: port {theirs} \(model\) is taken"):
        model_server.start(config, silent)
    with pytest.raises(LocalPlatformError, match=r"(?s)Apache Kafka cannot.*the model server cannot"):
        services.start(config, silent)
    assert services.stop(config) == ["scheduler"]  # it waits for the model server
    assert services.stop(config) == []


def test_the_model_is_started_adopted_and_stopped(tmp_path: Path) -> None:
    config = local_config(tmp_path)
    try:
        first = model_server.start(config, silent)
        assert first is not None and model_server.start(config, silent) == first
        with FakeServer() as own:
            assert model_server.start(replace(config, model_url=own.url), silent) is None
        assert not first.alive, "with a server of one's own none is left running"
    finally:
        model_server.stop(config)


def test_a_model_server_of_ones_own_is_asked_and_doubted(tmp_path: Path) -> None:
    told: list[str] = []
    with FakeServer() as own:
        config = local_config(tmp_path, own.url)
        model_server.start(config, lambda _, doing, __: told.append(doing))
        assert model_server.url(config) == own.url and own.url in told[0]
    with pytest.raises(ServiceError, match=r"TORPOR_MODEL_URL=.* does not answer GET .*/models.*embedded model"):
        model_server.start(config, silent)


def test_an_address_that_never_answers_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        config = local_config(tmp_path, f"http://127.0.0.1:{mute.getsockname()[1]}/v1")
        monkeypatch.setattr(model_server, "_ANSWER_LIMIT_S", 0.3)
        with pytest.raises(ServiceError, match="does not answer"):
            model_server.start(config, silent)


def test_both_come_up_are_adopted_and_leave_nothing(tmp_path: Path) -> None:
    config = local_config(tmp_path)
    try:
        services.start(config, silent)
        before = {service.name: service.pid for service in processes.leftovers(config.state)}
        assert set(before) == {"kafka", "model", "scheduler"}
        services.start(config, silent)
        assert {service.name: service.pid for service in processes.leftovers(config.state)} == before
    finally:
        stopped = services.stop(config)
    assert stopped == ["kafka", "model", "scheduler"]
    assert services.stop(config) == []


INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from eventing.local import kafka_server, model_server, scheduler, services
from tests.local.conftest import local_config

ended = threading.Event()

def fetch(_, progress, **how):
    os.kill(os.getpid(), signal.SIGINT)
    try:
        while True:
            progress("kafka", "downloading", 0.1)
            time.sleep(0.05)
    finally:
        ended.set()

kafka_server.start, model_server.start, scheduler.start = fetch, lambda *_: None, lambda *_: None
try:
    services.start(local_config(Path(sys.argv[1])), lambda *_: None)
except KeyboardInterrupt:
    print("interrupted, ended" if ended.wait(5) else "interrupted, still fetching")
"""


def test_an_interrupt_ends_what_is_being_fetched(tmp_path: Path) -> None:
    # In a process of its own: here the test runner's event loop answers the signal.
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == "interrupted, ended", done.stderr
