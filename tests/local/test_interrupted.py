"""Whoever interrupts a start finds nothing of it left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.testing import FakeServer
from tests.local.running import ROOT, Running


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with FakeServer() as model:
        yield Running(tmp_path / "state", {"TORPOR_MODEL_URL": model.url})


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
