"""Making something in the cache once, whoever asks at the same time, by a process that can be ended at any moment."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from eventing.local import processes
from eventing.local.config import Progress

_EVERY_S = 0.5


@contextlib.contextmanager
def once(path: Path, there: Callable[[], bool], what: str, progress: Progress) -> Iterator[bool]:
    """Whether the path must still be made; nobody else makes it meanwhile, and what a killed maker left is swept away."""
    if there():
        yield False
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with _held(FileLock(f"{path}.lock"), what, progress):
        missing = not there()
        if missing:
            _sweep(path)
        yield missing


@contextlib.contextmanager
def _held(lock: FileLock, what: str, progress: Progress) -> Iterator[None]:
    while True:
        try:
            lock.acquire(timeout=2)
            break
        except Timeout:
            progress(what, "another process is fetching it right now: waiting for that", None)
    try:
        yield
    finally:
        lock.release()


def _sweep(path: Path) -> None:
    for stale in (path, *path.parent.glob(f"{path.name}.*")):
        if stale.is_dir():
            shutil.rmtree(stale, ignore_errors=True)


@contextlib.contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], log: Path, cwd: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, which is over when the block is."""
    process = processes.begun(command, environ, log, cwd)
    try:
        yield process
    finally:
        if process.poll() is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def ended(process: subprocess.Popen[bytes], say: Callable[[float], None], limit_s: float = math.inf) -> int | None:
    """Its exit code, None where the limit is over first; `say` is called with the seconds gone twice a second meanwhile."""
    begun = time.monotonic()
    while time.monotonic() - begun < limit_s:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(_EVERY_S)
        say(time.monotonic() - begun)
    return process.poll()


def run(command: Sequence[str], environ: Mapping[str, str], log: Path, say: Callable[[float], None]) -> int | None:
    """Run to the end, calling `say` with the seconds gone twice a second; whatever `say` raises ends the process too."""
    with running(command, environ, log) as process:
        return ended(process, say)


def size(folder: Path) -> int:
    """The bytes that lie in a folder that is being written."""
    total = 0
    for path in folder.rglob("*"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size if path.is_file() else 0
    return total
