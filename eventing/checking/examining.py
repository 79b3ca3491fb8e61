"""Running the check in a process of its own, and reading what it found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eventing.checking.problem import Problem
from eventing.project import PACKAGE, is_checkout

LIMIT_S = 120.0


@dataclass(frozen=True)
class Findings:
    """Everything that is wrong, and the events that have contracts."""

    problems: tuple[Problem, ...]
    events: frozenset[str] = frozenset()


def examine(project: Path, workflow: Path | None) -> Findings:
    """Look at a project; whatever its code does, this returns."""
    if project != PACKAGE and (hidden := tuple(_hiding(project))):
        return Findings(hidden)
    command = [sys.executable, "-m", "eventing.checking", *([str(workflow)] if workflow else [])]
    environ = dict(os.environ)
    if is_checkout():
        environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(PACKAGE), environ.get("PYTHONPATH")]))
    try:
        done = subprocess.run(
            command, cwd=project, env=environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        said, how = done.stdout, f"ended the process with code {done.returncode}"
        last = done.stderr.strip().splitlines()[-1:]
    except subprocess.TimeoutExpired as over:
        said = over.stdout.decode() if isinstance(over.stdout, bytes) else over.stdout or ""
        how, last = f"did not let the process go on for {LIMIT_S:.0f} s", []
    return _read(said, how, "".join(last))


def _hiding(project: Path) -> Iterator[Problem]:
    """What would keep this very package from being found."""
    for room in ("schemas", "functions"):
        if (project / room / "__init__.py").exists():
            yield Problem(f"{room}/__init__.py", 1, f"remove it: the folder extends the installed package `{room}`")


def _read(said: str, how: str, last: str) -> Findings:
    at = ""
    for line in said.splitlines():
        told = json.loads(line)
        at = told.get("importing", at)
        if "problems" in told:
            return Findings(tuple(Problem(*one) for one in told["problems"]), frozenset(told.get("events", ())))
    return Findings((Problem(at or "eventing", 1, f"importing it {how}{': ' + last if last else ''}"),))
