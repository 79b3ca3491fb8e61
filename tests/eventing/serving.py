"""A gateway in a process of its own, as it is served anywhere, over a bucket in memory and an ingress that takes everything."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from eventing.local.asking import UnansweredError, ask

ROOT = Path(__file__).parents[2]


class _Ingress(BaseHTTPRequestHandler):
    """Takes every event, as a broker's ingress does."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(202)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def gateway() -> Iterator[str]:
    """Its URL, while it runs."""
    ingress = ThreadingHTTPServer(("127.0.0.1", 0), _Ingress)
    threading.Thread(target=ingress.serve_forever, daemon=True).start()
    port = _free_port()
    environ = {
        **os.environ,
        "FUNCTION_TARGET": "function",
        "FUNCTION_SOURCE": "functions/gateway/main.py",
        "TORPOR_STORE": "memory:///",
        "TORPOR_INGRESS": f"http://127.0.0.1:{ingress.server_port}/torpor",
    }
    command = ["uvicorn", "functions_framework.aio:app", "--port", str(port), "--no-access-log", "--log-level", "warning"]
    process = subprocess.Popen([sys.executable, "-m", *command], cwd=ROOT, env=environ)
    try:
        yield _answering(f"http://127.0.0.1:{port}", process)
    finally:
        process.terminate()
        process.wait(10)
        ingress.shutdown()


def _answering(url: str, process: subprocess.Popen[bytes]) -> str:
    for _ in range(300):
        assert process.poll() is None, "the gateway ended"
        try:
            if ask(f"{url}/health/readiness").status == 200:
                return url
        except UnansweredError:
            time.sleep(0.05)
    raise AssertionError("the gateway did not come up")
