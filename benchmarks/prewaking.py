"""`python -m benchmarks.prewaking`: a whole request from zero, with waking ahead and without, beside one with all awake.

The research workflow on the local platform; the model is a stub that takes its time for every call. From zero is: no agent
has a process. The ways take turns; each figure is the median of the rounds.
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
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import urllib3

from benchmarks.bare import HERE
from eventing.local import ports
from eventing.workflow import FOLDER
from inference.testing import FakeServer, Scripted

ROOT = HERE.parent
IDLE_S = 20.0  # longer than any step here, as Serving's retention is
_HTTP = urllib3.PoolManager(retries=False, timeout=60.0)


@dataclass
class Platform:
    """A local platform of its own, which wakes ahead or does not."""

    state: Path
    model: FakeServer
    prewake: bool
    first: int = field(default_factory=lambda: ports.row(7))

    def torpor(self, *arguments: str) -> None:
        own = {
            "TORPOR_STATE": str(self.state),
            "TORPOR_PORT": str(self.first),
            "TORPOR_PROJECT": str(self._project()),
            "TORPOR_MODEL_URL": self.model.url,
            "TORPOR_IDLE_S": str(IDLE_S),
        }
        command = [sys.executable, "-m", "eventing.cli", *arguments]
        done = subprocess.run(command, env={**os.environ, **own}, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def _project(self) -> Path:
        """A project of these agents and a workflow that differs in the one setting."""
        project = self.state / "project"
        if not project.exists():
            (project / "functions").mkdir(parents=True)
            for agent in ROOT.glob("functions/*/func.yaml"):
                (project / "functions" / agent.parent.name).symlink_to(agent.parent)
            said = (FOLDER / "research.yaml").read_text()
            (project / "research.yaml").write_text(f"{said}\nprewake: {str(self.prewake).lower()}\n")
        return project

    def functions(self) -> dict[str, dict[str, Any]]:
        answer = _HTTP.request("GET", f"http://127.0.0.1:{self.first + 1}/platform/ps")
        found: dict[str, dict[str, Any]] = answer.json()["functions"]
        return found

    def asleep(self) -> None:
        """Wait until nothing runs."""
        while any(row["instances"] for row in self.functions().values()):
            time.sleep(0.5)

    def took(self) -> float:
        """Seconds from asking until the mail with the report has gone out."""
        mail = self.state / "mail"
        before, begun = _mails(mail), time.perf_counter()
        asked = {"topic": "How large are the keys of ML-KEM?", "depth": 2, "metadata": {"email": "a@example.com"}}
        body = json.dumps(asked).encode()
        url = f"http://127.0.0.1:{self.first}/research"
        answer = _HTTP.request("POST", url, body=body, headers={"Content-Type": "application/json"})
        assert answer.status == 202, answer.data
        while _mails(mail) == before:
            if time.perf_counter() - begun > 300:
                raise RuntimeError(f"no mail came of {answer.data!r}")
            time.sleep(0.01)
        return time.perf_counter() - begun


def _mails(folder: Path) -> int:
    return sum(1 for _ in folder.glob("new/*"))


@contextlib.contextmanager
def running(prewake: bool, call_s: float) -> Iterator[Platform]:
    """A platform, in a folder that is removed."""
    with tempfile.TemporaryDirectory(prefix="torpor-bench-") as folder, FakeServer() as model:
        model.otherwise = Scripted(delay_s=call_s)
        made = Platform(Path(folder), model, prewake)
        made.torpor("up", "--detach", "--sources", str(ROOT / "examples/post-quantum"))
        try:
            yield made
        finally:
            made.torpor("down")


def measured(rounds: int, call_s: float) -> dict[str, list[float]]:
    """Seconds of each way: from zero without, with, and with everything awake."""
    found: dict[str, list[float]] = {"from zero": [], "from zero, waking ahead": [], "all awake": []}
    with running(False, call_s) as without, running(True, call_s) as ahead:
        for turn in range(rounds + 1):
            for way, platform in (("from zero", without), ("from zero, waking ahead", ahead), ("all awake", ahead)):
                if way != "all awake":
                    platform.asleep()
                found[way].append(platform.took())
                print(f"{turn}: {way}: {found[way][-1]:.2f} s, load {os.getloadavg()[0]:.1f}", flush=True)
    return {way: took[1:] for way, took in found.items()}  # the first of each finds no page cache


def main() -> None:
    """Measure, and print a line a way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.prewaking", description="A whole request from zero.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--call-s", type=float, default=2.0, help="how long the model takes for a call")
    given = parser.parse_args()
    found = measured(given.rounds, given.call_s)
    warm = median(found["all awake"])
    for way, took in found.items():
        print(f"{way:<26} {median(took):6.2f} s  {median(took) / warm:5.2f} x  ({min(took):.2f} to {max(took):.2f})")


if __name__ == "__main__":
    main()
