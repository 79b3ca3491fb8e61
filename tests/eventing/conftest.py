"""What the tests of this room share: a real S3 server for the store, and the one that pretends."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.local.running import seven_ports
from tests.objectstore import s3_server, wait


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment by which `s3://torpor` is opened."""
    with s3_server(tmp_path_factory.mktemp("s3")) as environ:
        yield environ


@pytest.fixture(scope="session")
def pretended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment by which `s3://torpor` is opened at the server that only pretends."""
    port = seven_ports()
    command = ["-m", "eventing.testing", "--port", str(port), "--folder", str(tmp_path_factory.mktemp("pretended"))]
    server = subprocess.Popen([sys.executable, *command])
    try:
        wait(port)
        yield {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1", "AWS_SKIP_SIGNATURE": "true"}
    finally:
        server.kill()
        server.wait(20)
