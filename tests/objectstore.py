"""An S3 server: SeaweedFS, on loopback, with its data in a folder."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import urllib3

from tests.local.running import seven_ports


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """The environment by which its bucket `s3://torpor` is opened."""
    n = seven_ports()
    ports = [f"-master.port={n}", f"-volume.port={n + 1}", f"-filer.port={n + 2}", f"-s3.port={n + 3}", "-s3.port.iceberg=0"]
    here = ["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-webdav=false", "-admin.ui=false"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([_weed(), "mini", f"-dir={folder}", *here, *ports], stdout=log, stderr=log)
    url = f"http://127.0.0.1:{n + 3}"
    try:
        wait(n + 3)
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


def _weed() -> str:
    return str(Path(sys.executable).parent / "weed")


def wait(port: int) -> None:
    """Wait until something listens there."""
    for _ in range(300):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError("the S3 server did not come up")
