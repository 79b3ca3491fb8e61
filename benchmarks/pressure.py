"""`python -m benchmarks.pressure [--requests 500] [--call 0.05]`: many requests at once onto two model slots.

What does the waiting cost? The model is a stub of two slots; Kafka, platform, agents and scheduler are real. Sampled while
it goes on: calls in flight and waiting at the scheduler, deliveries in flight, agents' processes, connections, and memory,
which is also told for each quarter of the time, so that growth shows.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import urllib3

from benchmarks import bare
from eventing.local import ports
from inference.testing import FakeServer, Scripted

SLOTS = 2
CALL_S = 0.05
ROOT = bare.HERE.parent
_HTTP = urllib3.PoolManager(retries=False, timeout=60.0, maxsize=64)


@dataclass
class Sample:
    """One look at everything."""

    in_flight: int  # calls that the model works on
    waiting: int  # calls that wait in the scheduler
    deliveries: int  # events under way to agents
    processes: int  # of agents
    agents_mb: float
    scheduler_mb: float
    dispatcher_mb: float
    kafka_mb: float
    connections: int  # of the scheduler


@dataclass
class Pressure:
    """A platform of its own before a model of two slots."""

    state: Path
    model: FakeServer
    backlog: int | None = None  # requests that may be open; None: as many as are by default
    first: int = field(default_factory=lambda: ports.row(7))

    def torpor(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        own = {
            "TORPOR_STATE": str(self.state),
            "TORPOR_PORT": str(self.first),
            "TORPOR_PROJECT": str(ROOT),
            "TORPOR_POOLS": str(self._pools()),
        }
        command = [sys.executable, "-m", "eventing.cli", *arguments]
        return subprocess.run(command, env={**os.environ, **own}, cwd=ROOT, capture_output=True, text=True, check=False)

    def _pools(self) -> Path:
        path = self.state.parent / "pools.yaml"
        server = {"name": "stub", "url": self.model.url, "kind": "openai", "model": self.model.name, "slots": SLOTS}
        pools: dict[str, Any] = {"pools": [{"name": "stub", "models": [self.model.name], "servers": [server]}]}
        path.write_text(json.dumps(pools | ({"limits": {"open_requests": self.backlog}} if self.backlog else {})))
        return path

    def ask(self, number: int) -> tuple[int, str, str | None]:
        """Post a request; the gateway's status, the request's id, and when it would be worth asking again."""
        body = json.dumps({"topic": f"ML-KEM, question {number}", "depth": 1}).encode()
        url = f"http://127.0.0.1:{self.first}/research"
        answer = _HTTP.request("POST", url, body=body, headers={"Content-Type": "application/json"})
        return answer.status, str(answer.json().get("request_id")), answer.headers.get("Retry-After")

    def status(self, request: str) -> str:
        answer = _HTTP.request("GET", f"http://127.0.0.1:{self.first}/research/{request}")
        return str(answer.json()["status"]) if answer.status == 200 else "unknown"

    def told(self, port: int, path: str) -> dict[str, Any]:
        found: dict[str, Any] = _HTTP.request("GET", f"http://127.0.0.1:{self.first + port}/{path}").json()
        return found

    def look(self) -> Sample:
        at_scheduler, at_platform = self.told(6, "state"), self.told(1, "platform/ps")
        run = self.state / "run"
        agents = [_memory(path) for path in run.glob("function.*.json")]
        scheduler = _process(run / "scheduler.json")
        return Sample(
            at_scheduler["servers"][0]["in_flight"],
            at_scheduler["waiting"],
            at_platform["in_flight"],
            len(agents),
            round(sum(agents), 1),
            round(_memory(run / "scheduler.json"), 1),
            round(_memory(run / "platform.json"), 1),
            round(_memory(run / "kafka.json"), 1),
            len(scheduler.net_connections()) if scheduler else 0,
        )


def _process(record: Path) -> psutil.Process | None:
    try:
        return psutil.Process(json.loads(record.read_text())["pid"])
    except (OSError, ValueError, psutil.Error):
        return None


def _memory(record: Path) -> float:
    """Proportional set size in MB."""
    try:
        process = _process(record)
        return float(process.memory_full_info().pss / 1e6) if process else 0.0
    except psutil.Error:
        return 0.0


@contextlib.contextmanager
def pressure(call_s: float, backlog: int | None = None) -> Iterator[Pressure]:
    """Everything up, in a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder, FakeServer(slots=SLOTS) as model:
        model.otherwise = Scripted(delay_s=call_s)
        made = Pressure(Path(folder) / "state", model, backlog)
        made.state.mkdir()
        done = made.torpor("up", "--detach", "--sources", str(ROOT / "examples/post-quantum"))
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        try:
            yield made
        finally:
            made.torpor("down")


def measured(requests: int, call_s: float = CALL_S, backlog: int | None = None, limit_s: float = 600.0) -> dict[str, Any]:
    """Post so many requests at once, and watch until all have ended."""
    with pressure(call_s, backlog) as on:
        begun = time.monotonic()
        with ThreadPoolExecutor(32) as posting:
            answers = list(posting.map(on.ask, range(requests)))
        taken_s, samples = time.monotonic() - begun, list[Sample]()
        taken = [request for status, request, _ in answers if status == 202]
        left = set(taken)
        while left and time.monotonic() - begun < limit_s:
            samples.append(on.look())
            left -= {request for request in list(left)[:40] if on.status(request) != "running"}
            time.sleep(0.2)
        seconds = time.monotonic() - begun
        ended = [on.status(request) for request in taken]
        platform, scheduler = on.told(1, "platform/ps"), on.told(6, "state")
        calls = len(on.model.calls)
    return {
        "requests": requests,
        "statuses": {status: sum(s == status for s, _, _ in answers) for status in {s for s, _, _ in answers}},
        "refused without Retry-After": sum(status != 202 and not after for status, _, after in answers),
        "admitted in s": round(taken_s, 2),
        "ended": {status: ended.count(status) for status in set(ended)},
        "seconds": round(seconds, 1),
        "dead letters": platform["dead_letters"],
        "model calls": calls,
        "generations / call keys": scheduler["generations"] / max(1, scheduler["call_keys"]),
        "most calls at once in the model": on.model.most,
        "share of the slots' time used": round(calls * call_s / SLOTS / seconds, 3),
        "looks at which a slot was idle while calls waited": sum(s.waiting > 0 and s.in_flight < SLOTS for s in samples),
        "looks": len(samples),
        **{f"most {name}": max((getattr(s, name) for s in samples), default=0) for name in Sample.__dataclass_fields__},
        **{
            f"{name} by quarters of the time": _quarters(samples, name)
            for name in Sample.__dataclass_fields__
            if "_mb" in name
        },
    }


def _quarters(samples: list[Sample], name: str) -> list[float]:
    """The median in each quarter of the looks."""
    at = [len(samples) * quarter // 4 for quarter in range(5)]
    found = [[getattr(sample, name) for sample in samples[first:last]] for first, last in pairwise(at)]
    return [median(values) for values in found if values]


def main() -> None:
    """Measure, and print a line a figure."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pressure", description="What waiting costs.")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--call", type=float, default=CALL_S, help="seconds that the model takes for a call")
    parser.add_argument("--backlog", type=int, help="requests that may be open; the gateway refuses more by 429")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds until the watching ends")
    given = parser.parse_args()
    for name, value in measured(given.requests, given.call, given.backlog, given.limit).items():
        print(f"{name:<50} {value}")


if __name__ == "__main__":
    main()
