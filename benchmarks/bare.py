"""The bare parts that a hop and a wake are made of: Kafka alone, functions-framework alone."""

from __future__ import annotations

import contextlib
import http.client
import os
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from uuid import uuid4

import confluent_kafka as ck

from benchmarks import chain
from eventing.kafka import TopicSpec, create_topics
from eventing.local.served import command

HERE = Path(__file__).parent
_TOPIC = "bench_bare"
QUIET = {"log_level": 0, "linger.ms": 0, "acks": "all", "enable.idempotence": True}


def environment() -> dict[str, str]:
    """The environment of what is measured: with bytecode, as it is installed."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "PYTHONPATH": str(HERE.parent)}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class RoundTrip:
    """Kafka alone: 1 KB produced (acks=all) until a consumer in the same process has it."""

    def __init__(self, bootstrap: str, payload: bytes) -> None:
        create_topics(bootstrap, [TopicSpec(_TOPIC, 1)])
        self._payload = payload
        self._producer = ck.Producer({"bootstrap.servers": bootstrap, **QUIET})
        self._consumer = ck.Consumer(
            {"bootstrap.servers": bootstrap, "group.id": "bench-bare", "log_level": 0, "fetch.wait.max.ms": 250}
        )
        # A place by its name: "the end" may be looked up too late.
        self._consumer.assign([ck.TopicPartition(_TOPIC, 0, end_of(self._consumer, _TOPIC, 0))])

    def once(self) -> float:
        """Seconds of one."""
        begun = time.perf_counter()
        self._producer.produce(_TOPIC, self._payload)
        while (message := self._consumer.poll(1.0)) is None or message.error():
            pass
        took = time.perf_counter() - begun
        self._producer.poll(0)
        return took

    def close(self) -> None:
        self._consumer.close()


def end_of(consumer: ck.Consumer, topic: str, partition: int) -> int:
    """The offset that the next record gets."""
    for _ in range(50):
        with contextlib.suppress(ck.KafkaException):  # a topic made a moment ago has no leader yet
            return int(consumer.get_watermark_offsets(ck.TopicPartition(topic, partition), timeout=5.0)[1])
        time.sleep(0.1)
    raise RuntimeError(f"{topic}/{partition} has no leader")


@contextlib.contextmanager
def process(source: Path, environ: Mapping[str, str]) -> Iterator[int]:
    """A function served exactly as the local platform serves functions; its port."""
    port = free_port()
    everything = {
        **environment(),
        "FUNCTION_TARGET": "function",
        "FUNCTION_SOURCE": str(source),
    }
    started = subprocess.Popen(command(port), env={**everything, **environ}, cwd=HERE.parent, stderr=subprocess.DEVNULL)
    try:
        yield port
    finally:
        started.terminate()
        started.wait()


def connected(port: int, limit_s: float = 30.0) -> http.client.HTTPConnection:
    """A connection, as soon as the process takes one."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            connection = http.client.HTTPConnection("127.0.0.1", port)
            connection.connect()
            assert connection.sock
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return connection
        time.sleep(0.002)
    raise TimeoutError(f"nothing listens on port {port}")


def post(connection: http.client.HTTPConnection, body: bytes, headers: Mapping[str, str]) -> int:
    connection.request("POST", "/", body, dict(headers))
    answer = connection.getresponse()
    answer.read()
    return answer.status


@contextlib.contextmanager
def call(payload: bytes) -> Iterator[Callable[[], float]]:
    """A bare function, 1 KB in, 204 out: seconds of one call."""
    with process(HERE / "hello.py", {}) as port:
        connection = connected(port)

        def once() -> float:
            begun = time.perf_counter()
            assert post(connection, payload, {"Content-Type": "application/json"}) == 204
            return time.perf_counter() - begun

        yield once


def cold_bare(payload: bytes) -> float:
    """Seconds from a bare function's process start to its first answer."""
    begun = time.perf_counter()
    with process(HERE / "hello.py", {}) as port:
        assert post(connected(port), payload, {"Content-Type": "application/json"}) == 204
        return time.perf_counter() - begun


def cold_agent(payload: bytes, ingress: str, workflow: Path) -> float:
    """Seconds from an agent's process start until it has done its first event: answers stored, published, acknowledged."""
    request_id = str(uuid4())
    headers = {
        "ce-specversion": "1.0", "ce-id": str(uuid4()), "ce-source": "/bench", "ce-type": chain.TOPICS[0],
        "ce-time": "2026-11-01T12:00:00+00:00", "ce-requestid": request_id, "ce-partitionkey": request_id,
        "ce-deadline": "2036-11-01T12:00:00+00:00", "content-type": "application/json",
    }  # fmt: skip
    body = payload.replace(b"REQUEST-ID", request_id.encode())
    with tempfile.TemporaryDirectory() as folder:
        environ = {
            "TORPOR_AGENT": "link_1", "TORPOR_WORKFLOW": str(workflow), "TORPOR_INGRESS": ingress,
            "TORPOR_STORE": Path(folder).as_uri(),
        }  # fmt: skip
        begun = time.perf_counter()
        with process(HERE / "served.py", environ) as port:
            assert post(connected(port), body, headers) == 204
            return time.perf_counter() - begun


@contextlib.contextmanager
def ingress() -> Iterator[str]:
    """A broker's ingress that takes everything."""

    class Taking(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/torpor"
    server.shutdown()
    server.server_close()
