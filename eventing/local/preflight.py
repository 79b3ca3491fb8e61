"""What must be right about a machine before anything is started on it."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import asdict

import psutil

from eventing.local import processes
from eventing.local.config import Config
from eventing.local.downloads import KAFKA, MODEL_PACKAGE
from eventing.local.errors import PreflightError

NEEDED_PYTHON = (3, 11)
DOWNLOAD_BYTES = 500_000_000  # jars, wheel and unpacked model
STATE_BYTES = 200_000_000
PLATFORM = "platform"


def check(config: Config) -> None:
    """Look at everything, then say everything that is wrong.

    Raises:
        PreflightError: with one line a problem, each with its mend.
    """
    problems = [*_python(), *_running(config), *_folders(config), *_disk(config)]
    if not problems:
        problems = list(_ports(config))
    if problems:
        raise PreflightError(problems)


def running(config: Config) -> processes.Service | None:
    """The platform that runs from this state folder, if one does."""
    return processes.find(config.state, PLATFORM)


def _python() -> Iterator[str]:
    if sys.version_info < NEEDED_PYTHON:
        found = ".".join(map(str, sys.version_info[:3]))
        yield f"Python {found} is too old: Torpor needs {'.'.join(map(str, NEEDED_PYTHON))} or newer ({sys.executable})"


def _running(config: Config) -> Iterator[str]:
    if (other := running(config)) is not None:
        yield f"a platform runs already from {config.state} (pid {other.pid}): use it, or stop it with `torpor down`"


def _folders(config: Config) -> Iterator[str]:
    for folder, what in ((config.state, "state"), (config.cache, "cache")):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            probe = folder / ".writable"
            probe.touch()
            probe.unlink()
        except OSError as error:
            name = "TORPOR_STATE" if what == "state" else "XDG_CACHE_HOME"
            yield f"the {what} folder {folder} cannot be written: {error.strerror}; choose another with {name}"


def _disk(config: Config) -> Iterator[str]:
    cached = (config.cache / f"kafka-{KAFKA.rsplit(':', 1)[1]}").is_dir()
    cached = cached and (config.model_url is not None or (config.cache / MODEL_PACKAGE.replace("==", "-")).is_dir())
    needs = ((config.cache, 0 if cached else DOWNLOAD_BYTES, "the first download"), (config.state, STATE_BYTES, "its data"))
    for folder, needed, what in needs:
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        free = shutil.disk_usage(there).free
        if free < needed:
            yield f"{folder} has {free / 1e6:.0f} MB free, {what} needs {needed / 1e6:.0f} MB: free some space"


def _ports(config: Config) -> Iterator[str]:
    ours = {service.name for service in processes.leftovers(config.state)}
    adopted = {"kafka": "kafka", "kafka_controller": "kafka", "model": "model"}
    for name, port in asdict(config.ports).items():
        if adopted.get(name) in ours or (name == "model" and config.model_url):
            continue
        if not _free(port):
            yield (
                f"port {port} ({name.replace('_', ' ')}) is taken{_holder(port)}: stop that, or choose six ports with "
                "TORPOR_PORT=18080"
            )


def _free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""
