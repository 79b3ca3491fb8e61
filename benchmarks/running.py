"""A Kafka, a stub model and the platform over the chain, each a process; and driving chains through them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import confluent_kafka as ck
import psutil
import urllib3

from benchmarks import bare, chain
from benchmarks.platform import config, write_project
from eventing.local import kafka_server, scheduler, services
from eventing.local.config import Config, Ports
from eventing.store import Store

PAYLOAD_BYTES = 1024
ROOM_BYTES = 2 << 30


def payload(text: str = "") -> bytes:
    """1 KB of an opening event's data, with a place for the request's id."""
    head = json.dumps({"request_id": "REQUEST-ID".ljust(36, "-"), "text": text})
    return json.dumps({"request_id": "REQUEST-ID", "text": text + "x" * (PAYLOAD_BYTES - len(head))}).encode()


@dataclass
class Bench:
    """What runs; `platform` is the process of the local platform."""

    config: Config
    platform: subprocess.Popen[bytes] | None = None
    extra: dict[str, str] = field(default_factory=dict)

    def functions(self) -> dict[str, dict[str, float]]:
        answer = urllib3.request("GET", f"http://127.0.0.1:{self.config.ports.platform}/platform/ps", timeout=15.0)
        return dict(answer.json()["functions"])

    def asleep(self, limit_s: float = 60.0) -> None:
        """Wait until no function has a process."""
        end = time.monotonic() + limit_s
        while any(one["instances"] for one in self.functions().values()):
            assert time.monotonic() < end, "functions do not fall asleep"
            time.sleep(0.2)

    def processes(self) -> dict[str, list[psutil.Process]]:
        """Everything that runs, by what it is."""
        assert self.platform is not None
        kafka = kafka_server.processes.find(self.config.state, kafka_server.NAME)
        assert kafka is not None
        platform = psutil.Process(self.platform.pid)
        return {"Kafka": [psutil.Process(kafka.pid)], "platform": [platform], "agents": platform.children(recursive=True)}

    def memory(self) -> dict[str, float]:
        """Proportional set size in MB."""
        return {what: _pss(found) for what, found in self.processes().items()}

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time so far."""
        return {what: sum(sum(one.cpu_times()[:2]) for one in found) for what, found in self.processes().items()}


def _pss(processes: list[psutil.Process]) -> float:
    total = 0
    for one in processes:
        with contextlib.suppress(psutil.Error):
            info = one.memory_full_info()
            total += getattr(info, "pss", info.uss)
    return round(total / 1e6, 1)


def in_memory() -> str | None:
    """A folder in memory, where there is one with room: what a disk takes for a file depends on what it did before."""
    shared = Path("/dev/shm")
    return str(shared) if shared.is_dir() and shutil.disk_usage(shared).free > ROOM_BYTES else None


async def files(count: int) -> list[float]:
    """Seconds of each object of 1 KB that the store puts on the disk of temporary files, a hundred a second at most."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder:
        store = Store.open(Path(folder).as_uri())
        for number in range(count):
            begun = time.perf_counter()
            await store.create(f"steps/{number}.json", bytes(PAYLOAD_BYTES))
            taken.append(time.perf_counter() - begun)
            await asyncio.sleep(0.01)
    return taken


@contextlib.contextmanager
def kafka(place: str | None) -> Iterator[Config]:
    """A Kafka of its own, in a state folder that is removed; it is made in `place`, or where temporary files are."""
    with tempfile.TemporaryDirectory(prefix="torpor-bench-", dir=place) as folder:
        ports = Ports(*(bare.free_port() for _ in range(7)))
        chosen = config(Path(folder), ports, f"http://127.0.0.1:{ports.model}/v1", 3600.0)
        model = [sys.executable, "-m", "inference.testing", "--port", str(ports.model)]
        stub = subprocess.Popen(model, stderr=subprocess.DEVNULL, env=bare.environment(), cwd=bare.HERE.parent)
        try:
            bare.connected(ports.model).close()
            services.start(chosen, lambda *_: None)
            yield chosen
        finally:
            scheduler.stop(chosen)
            stub.terminate()
            stub.wait()
            kafka_server.stop(chosen)


@contextlib.contextmanager
def platform(chosen: Config, idle_s: float, notes: Path | None = None) -> Iterator[Bench]:
    """The platform over the chain."""
    write_project(chosen.state, notes)
    given = {"state": str(chosen.state), "ports": asdict(chosen.ports), "model_url": chosen.model_url, "idle_s": idle_s}
    path = chosen.state / "bench.json"
    path.write_text(json.dumps(given))
    environ = {**bare.environment(), **({"BENCH_NOTES": str(notes)} if notes else {})}
    log = (chosen.state / "platform.log").open("wb")
    started = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.platform", str(path)], env=environ, stdout=log, stderr=log, cwd=bare.HERE.parent
    )
    try:
        _until_ready(chosen.state / "platform.log", started)
        yield Bench(chosen, started)
    except BaseException:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            answer = urllib3.request("GET", f"http://127.0.0.1:{chosen.ports.platform}/platform/ps", timeout=15.0)
            print(answer.data.decode(), file=sys.stderr)
        for log in (chosen.state / "platform.log", *sorted((chosen.state / "logs").glob("*.log"))):
            print(f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}", file=sys.stderr)
        raise
    finally:
        started.terminate()
        started.wait(60)


def _until_ready(log: Path, started: subprocess.Popen[bytes], limit_s: float = 60.0) -> None:
    end = time.monotonic() + limit_s
    while "ready" not in log.read_text():
        if started.poll() is not None or time.monotonic() > end:
            raise RuntimeError(f"the platform did not come up:\n{log.read_text()[-2000:]}")
        time.sleep(0.05)


class Driver:
    """Opens chains and sees their events come into their topics."""

    def __init__(self, bootstrap: str, topics: tuple[str, ...]) -> None:
        self._producer = ck.Producer({"bootstrap.servers": bootstrap, **bare.QUIET})
        self._consumer = ck.Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": f"bench-{uuid4()}",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 250,
                "log_level": 0,
            }
        )
        known = self._consumer.list_topics(timeout=10).topics
        places = [(t, p) for t in topics for p in known[t].partitions]
        ends = [(t, p, bare.end_of(self._consumer, t, p)) for t, p in places]
        self._consumer.assign([ck.TopicPartition(*end) for end in ends])
        self._consumer.poll(0.5)

    def open(self, body: bytes) -> str:
        """Open a chain; its id."""
        request_id = str(uuid4())
        now = datetime.now(UTC)
        attributes = {
            "specversion": "1.0", "id": str(uuid4()), "source": "/bench", "type": chain.TOPICS[0], "time": now.isoformat(),
            "requestid": request_id, "partitionkey": request_id, "deadline": (now + timedelta(minutes=30)).isoformat(),
        }  # fmt: skip
        headers = [(f"ce_{k}", v.encode()) for k, v in attributes.items()] + [("content-type", b"application/json")]
        value = body.replace(b"REQUEST-ID", request_id.encode())
        self._producer.produce(chain.TOPICS[0], value, request_id.encode(), headers=headers)
        self._producer.poll(0)
        return request_id

    def seen(self, wait_s: float = 0.5) -> list[tuple[str, str, str, float]]:
        """Topic, request, event id and moment of what has come."""
        found = []
        while (message := self._consumer.poll(0 if found else wait_s)) is not None:
            if message.error() is None:
                headers = dict(message.headers() or ())
                key = (message.key() or b"").decode()
                found.append((message.topic(), key, headers["ce_id"].decode(), time.perf_counter()))
            if len(found) >= 100:
                break
        return found

    def one(self, body: bytes, limit_s: float = 60.0) -> list[tuple[str, str, float]]:
        """One chain from end to end: topic, event id and moment of each of its events; the first is when it was opened."""
        begun = time.perf_counter()
        request_id, end = self.open(body), begun + limit_s
        found: list[tuple[str, str, float]] = [("", "", begun)]
        while all(topic != chain.TOPICS[-1] for topic, _, _ in found):
            if time.perf_counter() > end:
                places = [str(place) for place in self._consumer.position(self._consumer.assignment())]
                raise AssertionError(f"chain {request_id} stands at {found[-1]}; the observer at {places}")
            found += [(topic, event, at) for topic, key, event, at in self.seen() if key == request_id]
        # Partitions are read side by side: what came together may have come in any order.
        found[1:] = sorted(found[1:], key=lambda one: chain.TOPICS.index(one[0]))
        return found

    def many(self, body: bytes, count: int, at_once: int, limit_s: float = 300.0) -> tuple[float, list[float]]:
        """Seconds that `count` chains took with so many at once, and of each; this driver must watch the last topic only."""
        begun = time.perf_counter()
        opened = {self.open(body): begun for _ in range(min(at_once, count))}
        took: dict[str, float] = {}
        started = len(opened)
        while len(took) < count:
            assert time.perf_counter() < begun + limit_s, f"{len(took)} of {count} chains ended"
            for _, key, _, at in self.seen():
                if key in opened and key not in took:
                    took[key] = at - opened[key]
                    if started < count:
                        opened[self.open(body)] = time.perf_counter()
                        started += 1
        return time.perf_counter() - begun, list(took.values())

    def close(self) -> None:
        self._consumer.close()
