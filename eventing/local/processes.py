"""Processes that outlive their starter: each in a session of its own, with a log and a record by which it is found again."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

GRACE_S = 15.0


@dataclass(frozen=True)
class Service:
    """A process that was started from a state folder; its creation time tells it from a later one with the same pid."""

    name: str
    pid: int
    created: float
    state: Path

    @property
    def process(self) -> psutil.Process | None:
        """The process, while it lives."""
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.created) < 2 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if same else None

    @property
    def alive(self) -> bool:
        return self.process is not None

    @property
    def log(self) -> Path:
        return log_of(self.state, self.name)

    def last_words(self, lines: int = 8) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""


def log_of(state: Path, name: str) -> Path:
    return state / "logs" / f"{name}.log"


def _record(state: Path, name: str) -> Path:
    return state / "run" / f"{name}.json"


def start(state: Path, name: str, command: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None) -> Service:
    """Start a process in its own session; what it prints goes to its log, which starts anew."""
    log = log_of(state, name)
    for folder in (log.parent, _record(state, name).parent):
        folder.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        started = subprocess.Popen(
            list(command),
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    return record(state, name, started.pid)


def record(state: Path, name: str, pid: int) -> Service:
    """Note a process that runs, so that a later platform finds it."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        created = 0.0
    path = _record(state, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"pid": pid, "created": created}))
    fresh.replace(path)
    return Service(name, pid, created, state)


def find(state: Path, name: str) -> Service | None:
    """The living process of that name, started from this state folder by whomever."""
    try:
        noted = json.loads(_record(state, name).read_text())
        service = Service(name, int(noted["pid"]), float(noted["created"]), state)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return service if service.alive else None


def leftovers(state: Path) -> Iterator[Service]:
    """Every living process that was started from this state folder."""
    for path in sorted((state / "run").glob("*.json")):
        if service := find(state, path.stem):
            yield service


def forget(service: Service) -> None:
    _record(service.state, service.name).unlink(missing_ok=True)


def stop(service: Service, grace_s: float = GRACE_S) -> None:
    """End a process and its children: SIGTERM, then SIGKILL once the grace is over."""
    process = service.process
    if process is not None:
        family = [process, *_children(process)]
        for one in family[:1]:
            _signal(one, terminate=True)
        _, living = psutil.wait_procs(family, timeout=grace_s)
        for one in living:
            _signal(one, terminate=False)
        psutil.wait_procs(living, timeout=5)
    _reap(service.pid)
    forget(service)


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _signal(process: psutil.Process, terminate: bool) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process.terminate() if terminate else process.kill()


def _reap(pid: int) -> None:
    """Take the exit status of a child of ours, so that no zombie stays."""
    try:
        os.waitpid(pid, os.WNOHANG)
    except (ChildProcessError, OSError):
        return


def wait_until(ready: object, limit_s: float, every_s: float = 0.05) -> bool:
    """Whether `ready()` came true within the limit."""
    assert callable(ready)
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if ready():
            return True
        time.sleep(every_s)
    return bool(ready())
