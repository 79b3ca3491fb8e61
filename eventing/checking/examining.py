"""Running the check in a process of its own, and reading what it found."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from eventing.checking.problem import Problem
from eventing.project import PACKAGE, is_checkout

LIMIT_S = 120.0
_LAST_BYTES = 10_000  # of what the project's code prints


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
    with subprocess.Popen(command, cwd=project, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        said, printed = _Heard(process.stdout), _Heard(process.stderr, most=_LAST_BYTES)
        try:
            how = f"ended the process with code {process.wait(LIMIT_S)}"
        except subprocess.TimeoutExpired:
            process.kill()
            how = f"did not let the process go on for {LIMIT_S:.0f} s"
        last = printed.text().strip().splitlines()[-1:]
        return _read(said.text(), how, "".join(last))


class _Heard:
    """What comes through a pipe until its end; no more than the last `most` bytes, as an agent may print without end."""

    def __init__(self, pipe: IO[bytes] | None, most: int | None = None) -> None:
        assert pipe is not None
        self._pipe, self._most, self._content = pipe, most or 0, b""
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):  # closed, since nobody waits for it any more
            while chunk := os.read(self._pipe.fileno(), 1 << 16):
                self._content = (self._content + chunk)[-self._most :]

    def text(self) -> str:
        """What was heard when the pipe ends, or shortly after its process ended: another may hold it open."""
        self._reading.join(1)
        return self._content.decode("utf-8", "replace")


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
