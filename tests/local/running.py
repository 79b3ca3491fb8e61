"""A whole local platform in a process of its own, as a user starts it, for tests of what only a running system shows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from eventing.local import asking, preflight, processes
from eventing.local.config import Config, Ports
from eventing.local.ports import row

ROOT = Path(__file__).parents[2]
LIMIT_S = 30.0  # of a question to the platform


def seven_ports() -> int:
    """The first of seven ports in a row."""
    return row(7)


@dataclass
class Running:
    """`torpor`, run with a state folder and ports of its own."""

    state: Path
    environ: dict[str, str] = field(default_factory=dict)
    first: int = field(default_factory=seven_ports)

    @property
    def ports(self) -> Ports:
        return Ports(*range(self.first, self.first + 7))

    @property
    def config(self) -> Config:
        return Config(project=ROOT, manifests=ROOT / "eventing/manifests/research", state=self.state, ports=self.ports)

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.first}"

    def torpor(self, *arguments: str, time_limit_s: float = 120.0, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        own = {"TORPOR_STATE": str(self.state), "TORPOR_PORT": str(self.first), "TORPOR_PROJECT": str(ROOT)}
        everything = {**os.environ, "TORPOR_IDLE_S": "3", **own, **self.environ, **environ}
        command = [sys.executable, "-m", "eventing.cli", *arguments]
        return subprocess.run(
            command, env=everything, cwd=ROOT, capture_output=True, text=True, timeout=time_limit_s, check=False
        )

    def up(self, *arguments: str) -> None:
        done = self.torpor("up", "--detach", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def down(self) -> None:
        self.torpor("down")

    def kill(self) -> None:
        """kill -9 of the dispatcher, and of it alone."""
        running = preflight.running(self.config)
        assert running is not None
        os.kill(running.pid, signal.SIGKILL)
        until(lambda: not running.alive, "the dispatcher is gone", 10)

    def ask(self, topic: str, depth: int = 1, **metadata: str) -> str:
        body = {"topic": topic, "depth": depth, "metadata": metadata}
        answer = asking.ask(f"{self.gateway}/research", LIMIT_S, "POST", json=body)
        assert answer.status == 202, answer.data
        return str(answer.json()["request_id"])

    def get(self, path: str) -> Any:
        answer = asking.ask(self.gateway + path, LIMIT_S)
        return answer.json() if answer.status == 200 else None

    def ended(self, request_id: str, limit_s: float = 90.0) -> dict[str, Any]:
        """The request's state once it has ended."""

        def state() -> dict[str, Any] | None:
            found = self.get(f"/research/{request_id}")
            return found if found and found["status"] != "running" else None

        return until(state, f"request {request_id} has ended", limit_s)

    def completed(self, request_id: str, limit_s: float = 90.0) -> dict[str, Any]:
        """The request's state once it has ended, as it should."""
        state = self.ended(request_id, limit_s)
        assert state["status"] == "complete", f"request {request_id}: {state['reason']}"
        return state

    def processes(self) -> list[str]:
        return [service.name for service in processes.leftovers(self.state)]


def until(ready: Callable[[], Any], what: str, limit_s: float = 30.0) -> Any:
    """The first true value of `ready`, asked ten times a second."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            if value := ready():
                return value
        except asking.UnansweredError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"not within {limit_s:.0f} s: {what}")
