"""What must be right about a machine before anything is started on it."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from eventing.local import ports, processes
from eventing.local.config import Config
from eventing.local.downloads import kafka_folder, model_file
from eventing.local.errors import PreflightError

NEEDED_PYTHON = (3, 11)
# What a first start needs at its worst moment: what is downloaded, and what is made of it beside it.
KAFKA_BYTES = 250_000_000
MODEL_BYTES = 300_000_000
STATE_BYTES = 200_000_000
PLATFORM = "platform"


def check(config: Config) -> None:
    """Look at everything, then say everything that is wrong.

    Raises:
        PreflightError: with one line a problem, each with its mend.
    """
    problems = list(_running(config)) or [*_python(), *_folders(config), *_disk(config), *_ports(config)]
    if problems:
        raise PreflightError(problems)


def running(config: Config) -> processes.Service | None:
    """The platform that runs from this state folder, if one does."""
    return processes.find(config.state, PLATFORM)


@contextlib.contextmanager
def claim(config: Config) -> Iterator[None]:
    """Make this process the one platform of its state folder until the block ends; its end, however it comes, frees it.

    Raises:
        PreflightError: when another process is it.
    """
    with _alone(config, PLATFORM):
        mine = processes.record(config.state, PLATFORM, os.getpid(), sys.argv)
        try:
            yield
        finally:
            processes.forget(mine)


def starting(config: Config) -> contextlib.AbstractContextManager[None]:
    """Make this process the one that starts a platform of its state folder in the background, until the block ends.

    Raises:
        PreflightError: when another process is it.
    """
    return _alone(config, "starting")


@contextlib.contextmanager
def _alone(config: Config, what: str) -> Iterator[None]:
    folder = config.state / "run"
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / f"{what}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise PreflightError(
            list(_running(config)) or [f"another platform is starting from {config.state}: use it"]
        ) from None
    try:
        yield
    finally:
        lock.release()


def _python() -> Iterator[str]:
    if sys.version_info < NEEDED_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        yield f"Python {found} is too old: Torpor needs {'.'.join(map(str, NEEDED_PYTHON))} or newer ({sys.executable})"


def _running(config: Config) -> Iterator[str]:
    if (other := running(config)) is not None and other.pid != os.getpid():
        yield f"a platform runs already from {config.state} (pid {other.pid}): use it, or stop it with `torpor down`"


def _folders(config: Config) -> Iterator[str]:
    for folder, what, name in ((config.state, "state", "TORPOR_STATE"), (config.cache, "cache", "XDG_CACHE_HOME")):
        probe = folder / f".writable.{os.getpid()}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe.touch()
            probe.unlink()
        except OSError as error:
            yield f"the {what} folder {folder} cannot be written ({error.strerror}): mend it, or choose another with {name}"


def _disk(config: Config) -> Iterator[str]:
    """Every disk is asked once, for all that will be put on it."""
    first = 0 if kafka_folder(config.cache).is_dir() else KAFKA_BYTES
    first += 0 if config.model_url or config.pools or model_file(config.cache).is_file() else MODEL_BYTES
    needs = [(config.cache, first, "the first download", "XDG_CACHE_HOME")] if first else []
    needs += [(config.state, STATE_BYTES, "its data", "TORPOR_STATE")]
    disks: dict[int, list[tuple[Path, int, str, str]]] = {}
    for need in needs:
        disks.setdefault(_existing(need[0]).stat().st_dev, []).append(need)
    for together in disks.values():
        free, needed = shutil.disk_usage(_existing(together[0][0])).free, sum(need[1] for need in together)
        if free < needed:
            what = " and ".join(f"{what} in {folder}" for folder, _, what, _ in together)
            short = f"{free / 1e6:.0f} MB of the disk are free, but {what} need {needed / 1e6:.0f} MB"
            yield f"{short}: free some, or choose another folder with {' or '.join(name for *_, name in together)}"


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder, *folder.parents) if parent.exists())


def _ports(config: Config) -> Iterator[str]:
    ours = {service.name for service in processes.leftovers(config.state)}
    for port, times in Counter(config.listening.values()).items():
        if times > 1:
            yield f"port {port} is given to {times} services: each needs one of its own"
    for name, port in config.listening.items():
        if name.removesuffix("_controller").replace("_", "-") in ours or (
            name == "model" and (config.model_url or config.pools)
        ):
            continue
        if problem := ports.conflict(port, name.replace("_", " ")):
            yield problem
