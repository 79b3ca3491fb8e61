"""Processes that outlive their starter: each in a session of its own, with a log and a record by which it is found again."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from eventing.local.config import Progress
from eventing.local.errors import ServiceError

GRACE_S = 15.0
LATE_S = 3.0
_ORPHANS_GRACE_S = 2.0
_SAY_EVERY_S = 2.0
# Linux knows a start time that no change of the clock moves; elsewhere it is a time of day.
_SAME_BIRTH_S = 0.05 if sys.platform == "linux" else 2.0


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
            same = abs(_birth(process) - self.created) <= _SAME_BIRTH_S and process.status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
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
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) or "(nothing)"
        except OSError:
            return "(no log)"


def log_of(state: Path, name: str) -> Path:
    return state / "logs" / f"{name}.log"


def _record(state: Path, name: str) -> Path:
    return state / "run" / f"{name}.json"


def _birth(process: psutil.Process) -> float:
    created = float(process.create_time())
    return created - psutil.boot_time() if sys.platform == "linux" else created


def begun(command: Sequence[str], environ: Mapping[str, str], log: Path, cwd: Path | None = None) -> subprocess.Popen[bytes]:
    """A process in a session of its own; what it prints goes to the log, which starts anew."""
    with log.open("wb") as out:
        return subprocess.Popen(
            list(command),
            env=dict(environ),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def start(state: Path, name: str, command: Sequence[str], environ: Mapping[str, str], cwd: Path | None = None) -> Service:
    """Start a process in its own session; what it prints goes to its log, which starts anew."""
    log = log_of(state, name)
    log.parent.mkdir(parents=True, exist_ok=True)
    return record(state, name, begun(command, environ, log, cwd).pid, command)


def record(state: Path, name: str, pid: int, command: Sequence[str] = ()) -> Service:
    """Note a process that runs, so that a later platform finds it."""
    try:
        created = _birth(psutil.Process(pid))
    except psutil.Error:
        created = 0.0
    path = _record(state, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps({"pid": pid, "created": created, "command": list(command)}))
    fresh.replace(path)
    return Service(name, pid, created, state)


def find(state: Path, name: str) -> Service | None:
    """The living process of that name, started from this state folder by whomever."""
    noted = _noted(state, name)
    return noted[0] if noted and noted[0].alive else None


def adopt(state: Path, name: str, command: Sequence[str]) -> Service | None:
    """The living process of that name; one that was started by another command (other ports, say) is stopped instead."""
    noted = _noted(state, name)
    if noted is None or not noted[0].alive:
        return None
    if noted[1] == list(command):
        return noted[0]
    stop(noted[0])
    return None


def _noted(state: Path, name: str) -> tuple[Service, list[str]] | None:
    try:
        content = json.loads(_record(state, name).read_text())
        return Service(name, int(content["pid"]), float(content["created"]), state), list(content.get("command", ()))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def leftovers(state: Path) -> Iterator[Service]:
    """Every living process that was started from this state folder."""
    for path in sorted((state / "run").glob("*.json")):
        if service := find(state, path.stem):
            yield service


def forget(service: Service) -> None:
    """Remove its record, unless another process goes by its name now."""
    noted = _noted(service.state, service.name)
    if noted is None or noted[0].pid == service.pid:
        _record(service.state, service.name).unlink(missing_ok=True)


def stop(service: Service, grace_s: float = GRACE_S, late: Callable[[], None] = lambda: None) -> None:
    """End a process and all that it started: SIGTERM, then SIGKILL once the grace is over.

    `late` is called where it is not over after LATE_S.
    """
    process = service.process
    if process is not None:
        family = _family(process)
        _signal([process], psutil.Process.terminate)
        if psutil.wait_procs([process], timeout=min(LATE_S, grace_s))[1]:
            late()
            psutil.wait_procs([process], timeout=max(0.0, grace_s - LATE_S))
        family += [one for one in _family(process) if one not in family]
        orphans = [one for one in family if one != process]
        _signal(orphans, psutil.Process.terminate)
        psutil.wait_procs(orphans, timeout=_ORPHANS_GRACE_S)
        _signal(family, psutil.Process.kill)
        psutil.wait_procs(family, timeout=5)
    _reap(service.pid)
    forget(service)


def kill(service: Service) -> None:
    """Kill the session that a process leads, without waiting for its end."""
    if service.alive:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(service.pid, signal.SIGKILL)
    forget(service)


def _family(process: psutil.Process) -> list[psutil.Process]:
    """The process, its descendants, and whoever else is in the session that it leads."""
    found = {process.pid: process}
    with contextlib.suppress(psutil.Error):
        if not process.is_running():
            return []
        found |= {child.pid: child for child in process.children(recursive=True)}
        for other in psutil.process_iter():
            with contextlib.suppress(OSError):
                if os.getsid(other.pid) == process.pid:
                    found.setdefault(other.pid, other)
    return list(found.values())


def _signal(processes: Sequence[psutil.Process], send: Callable[[psutil.Process], None]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            send(process)


def _reap(pid: int) -> None:
    """Take the exit status of a child of ours, so that no zombie stays."""
    with contextlib.suppress(OSError):
        os.waitpid(pid, os.WNOHANG)


def wait(service: Service, what: str, ready: Callable[[], bool], limit_s: float, progress: Progress) -> Service:
    """Return the service once it is ready.

    Raises:
        ServiceError: when it ended, or is not ready in time; it is stopped then, and the message has its last words.
    """
    begun = said = time.monotonic()
    while service.alive:
        if ready() and service.alive:
            return service
        now = time.monotonic()
        if now - begun > limit_s:
            break
        if now - said > _SAY_EVERY_S:
            said = now
            progress(service.name, f"{what} is not up yet ({now - begun:.0f} s)", None)
        time.sleep(0.05)
    how = f"did not answer within {limit_s:.0f} s" if service.alive else "ended while it was starting"
    stop(service)
    raise ServiceError(f"{what} {how}; its log {service.log} ends with:\n{service.last_words()}")
