"""The local platform over the chain, as a process: `python -m benchmarks.platform CONFIG.json`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import yaml

from benchmarks import chain, split
from eventing.local import loops, platform
from eventing.local.config import Config, Ports
from eventing.manifests.render import files
from eventing.workflow import load


def config(state: Path, ports: Ports, model_url: str, idle_s: float) -> Config:
    return Config(
        project=state / "project", manifests=state / "manifests", state=state, ports=ports, model_url=model_url,
        idle_seconds=idle_s,
    )  # fmt: skip


def write_project(state: Path, notes: Path | None) -> None:
    """The chain's workflow, manifests and functions, as a user would have them."""
    workflow = state / chain.WORKFLOW
    workflow.write_text(chain.workflow())
    manifests = state / "manifests"
    manifests.mkdir(exist_ok=True)
    for name, text in files(load(workflow)).items():
        (manifests / name).write_text(text)
    for name in chain.AGENTS:
        folder = state / "project" / "functions" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "func.yaml").write_text(yaml.safe_dump(chain.func_yaml(name, workflow, notes)))


async def _run(given: Config) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await platform.run(given, lambda what, doing, share: print(f"{what} {doing}", flush=True), stop)


def main(path: Path) -> None:
    """Run until SIGTERM."""
    given = json.loads(path.read_text())
    if notes := os.environ.get("BENCH_NOTES"):
        split.in_platform(notes)
    loops.run(_run(config(Path(given["state"]), Ports(**given["ports"]), given["model_url"], given["idle_s"])))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
