"""An S3 server for the tests of the store: SeaweedFS, on loopback, with its data in a temporary folder."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3

from tests.local.running import seven_ports


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment by which `s3://torpor` is opened."""
    folder = tmp_path_factory.mktemp("s3")
    n = seven_ports()
    ports = [f"-master.port={n}", f"-volume.port={n + 1}", f"-filer.port={n + 2}", f"-s3.port={n + 3}", "-s3.port.iceberg=0"]
    here = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([_weed(), "mini", f"-dir={folder}", *here, *ports], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{n + 3}"
    try:
        _wait(n + 3)
        urllib3.PoolManager(retries=20).request("PUT", f"{url}/torpor")
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_REGION": "us-east-1",
            "AWS_SKIP_SIGNATURE": "true",
        }
    finally:
        server.kill()  # nothing of it is kept, and its orderly end takes up to half a minute
        server.wait(20)


@pytest.fixture(scope="session")
def pretended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment by which `s3://torpor` is opened at the server that only pretends."""
    port = seven_ports()
    command = ["-m", "eventing.testing", "--port", str(port), "--folder", str(tmp_path_factory.mktemp("pretended"))]
    server = subprocess.Popen([sys.executable, *command])
    try:
        _wait(port)
        yield {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_REGION": "us-east-1", "AWS_SKIP_SIGNATURE": "true"}
    finally:
        server.kill()
        server.wait(20)


def _weed() -> str:
    return str(Path(sys.executable).parent / "weed")


def _wait(port: int) -> None:
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the S3 server did not come up")
