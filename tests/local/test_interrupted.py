"""Whoever interrupts a start finds nothing of it left; whoever stops what runs pays for nothing twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventing.local import processes, scheduler
from inference.testing import FakeServer, Scripted
from tests.local.running import ROOT, Running, until


@pytest.fixture
def model() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def running(tmp_path: Path, model: FakeServer) -> Running:
    return Running(tmp_path / "state", {"TORPOR_MODEL_URL": model.url})


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", [["up", "--detach"], ["demo", "--depth", "1"]])
def test_an_interrupted_start_leaves_nothing(running: Running, command: list[str], number: signal.Signals) -> None:
    own = {"TORPOR_STATE": str(running.state), "TORPOR_PORT": str(running.first), "TORPOR_PROJECT": str(ROOT)}
    started = subprocess.Popen(
        [sys.executable, "-m", "eventing.cli", *command],
        env={**os.environ, **own, **running.environ},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert started.stdout is not None
    assert any("starting Apache Kafka" in line for line in started.stdout)
    started.send_signal(number)
    said = started.communicate(timeout=60)[0]
    assert started.returncode == 1 and "Traceback" not in said, said
    assert running.processes() == []


def test_a_stop_waits_for_the_answer_that_is_being_bought(running: Running, model: FakeServer) -> None:
    running.up()
    try:
        model.otherwise = Scripted(delay_s=12.0)  # longer than deliveries under way are given
        request_id = running.ask("the tides of Saint-Malo")
        until(lambda: scheduler.generating(running.config), "the model is at work")
        assert "stopping: deliveries under way have ten seconds" in running.torpor("down").stdout
        assert "stopping: a model is at work on a call" in processes.log_of(running.state, "platform").read_text()
        model.otherwise = Scripted()
        running.up()
        until(lambda: running.get(f"/research/{request_id}")["status"] == "complete", "the request is complete", 60)
        assert not scheduler.generating(running.config)
    finally:
        running.down()
    assert list(model.generations().values()) == [1]
