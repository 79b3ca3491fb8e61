"""One vLLM for all tests; `make test-vllm` installs it. What it serves is the small model that the local platform runs on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.client import Client
from tests.inference.conftest import free_port, small_model
from tests.vllm.server import VllmServer, converted


@pytest.fixture(scope="session")
def gguf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("platform"))


@pytest.fixture(scope="session")
def vllm_model(gguf: Path) -> Path:
    return converted(gguf)


@pytest.fixture(scope="session")
def started(vllm_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmServer]:
    server = VllmServer(vllm_model, free_port(), tmp_path_factory.mktemp("vllm") / "log")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def vllm_server(started: VllmServer) -> VllmServer:
    """A vLLM that answers: url, pid, kill(), restart(), metric(name); a test that killed it leaves the next one a new one."""
    if not started.healthy():
        started.restart()
    return started


@pytest.fixture
def client(vllm_server: VllmServer) -> Client:
    return Client(vllm_server.url)
