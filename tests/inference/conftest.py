"""Model servers: the fake one, and a real small model in a process of its own."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from eventing.local import downloads
from eventing.local.asking import healthy
from eventing.local.config import Config
from inference.client import Client, StepModel
from inference.testing import FakeServer

REQUEST = "6f1c2f6e-0000-4000-8000-000000000001"
STEP = f"{REQUEST}/research/1.0"


def step_of(
    client: Client, *, key: str = STEP, budget: int = 50_000, limit_s: float = 30.0, deadline_s: float = 300.0
) -> StepModel:
    deadline = datetime.now(UTC) + timedelta(seconds=deadline_s)
    return client.for_step(key=key, deadline=deadline, budget_tokens=budget, time_limit_s=limit_s, traceparent="00-a-b-01")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def await_health(port: int, process: "subprocess.Popen[Any]") -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until and process.poll() is None:
        if healthy(port):
            return
        time.sleep(0.05)
    raise AssertionError(f"the model server did not come up (exit code {process.poll()})")


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


def small_model(folder: Path) -> Path:
    """The file of the model that the local platform runs on."""
    return downloads.model(Config(folder, folder, folder), lambda *_: None)


@contextmanager
def embedded(gguf: Path, *options: str) -> Iterator[int]:
    """llama.cpp with this model; its port on loopback."""
    port = free_port()
    command = [sys.executable, "-m", "inference.embedded", "--model", str(gguf), "--port", str(port), *options]
    process = subprocess.Popen(command)
    try:
        await_health(port, process)
        yield port
    finally:
        process.terminate()
        assert process.wait(10) == 0


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="session")
def embedded_url(gguf: Path) -> Iterator[str]:
    with embedded(gguf, "--slots", "2", "--context", "1024") as port:
        yield f"http://127.0.0.1:{port}/v1"


@pytest.fixture(scope="session")
def fake_url() -> Iterator[str]:
    with FakeServer(context=1024) as fake:
        yield fake.url
