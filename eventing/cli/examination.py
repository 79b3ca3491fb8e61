"""`torpor doctor`: everything that a first start needs, looked at before it is needed."""

from __future__ import annotations

import importlib
import os
import platform as machine
import subprocess
import sys
from collections.abc import Callable, Iterator

import click
import psutil

from eventing.cli.asking import say
from eventing.local import preflight
from eventing.local.config import Config
from eventing.local.downloads import KAFKA_MB, MODEL_MB, kafka_folder, model_file
from eventing.local.errors import LocalPlatformError, PreflightError

NEEDED_MEMORY = 1_000_000_000  # Kafka 165 MB, the model 350 MB, a few agents of 80 MB each
BROKER_MEMORY = 250_000_000  # of each broker more than one
_COMPILED = ("pydantic_core", "obstore", "confluent_kafka", "psutil", "xllamacpp")
Check = Callable[[Config], Iterator[str]]


def run(config: Config) -> bool:
    """Print one line a check, each failing one with its mend; whether all is well."""
    checks: dict[str, Check] = {
        "Python": _python,
        "packages": _packages,
        "Java runtime": _java,
        "memory": _memory,
        "disk, folders and ports": _preflight,
        "model server": _model,
    }
    if _missing(config):
        checks["servers of the downloads"] = _servers
    well = True
    for name, check in checks.items():
        problems = list(check(config))
        well = well and not problems
        say((click.style("✗", fg="red") if problems else click.style("✓", fg="green")) + f" {name}")
        for problem in problems:
            say(f"    {problem}")
    for note in _downloads(config):
        say(click.style("·", dim=True) + f" {note}")
    say("all is well: `torpor up`, or `make demo`" if well else "mend what is marked ✗, then look again")
    return well


def _python(_: Config) -> Iterator[str]:
    if sys.version_info < preflight.NEEDED_PYTHON:
        yield f"{machine.python_version()} is too old: install Python 3.11 or newer ({sys.executable})"
    for module in ("venv", "ssl"):
        try:
            importlib.import_module(module)
        except ImportError:
            yield f"this Python lacks its module {module}: install a whole one (Debian, Ubuntu: apt install python3-full)"


def _packages(_: Config) -> Iterator[str]:
    for name in _COMPILED:
        try:
            importlib.import_module(name)
        except ImportError as error:
            libc = machine.libc_ver()[0] or "an unknown C library"
            yield f"{name} cannot be imported ({error}): it has wheels for glibc, macOS and Windows; this is {libc}"


def _java(_: Config) -> Iterator[str]:
    from eventing.local import kafka_java

    try:
        done = subprocess.run([kafka_java.java(), "-version"], capture_output=True, text=True, timeout=30, check=False)
        if done.returncode:
            yield f"it does not run: {done.stderr.strip()[-200:]}"
    except (LocalPlatformError, OSError, subprocess.TimeoutExpired) as error:
        yield str(error)


def _memory(config: Config) -> Iterator[str]:
    free, needed = psutil.virtual_memory().available, NEEDED_MEMORY + BROKER_MEMORY * (config.brokers - 1)
    if free < needed:
        yield f"{free / 1e6:.0f} MB are free, Kafka, model and agents want {needed / 1e6:.0f} MB: close something"


def _preflight(config: Config) -> Iterator[str]:
    if preflight.running(config) is not None:
        return  # the platform runs: its ports are its own
    try:
        preflight.check(config)
    except PreflightError as error:
        yield from error.problems


def _model(config: Config) -> Iterator[str]:
    if config.model_url:
        from eventing.local import model_server

        try:
            model_server.served(config.model_url)
        except LocalPlatformError as error:
            yield str(error)


def _missing(config: Config) -> list[str]:
    """What the first start must fetch."""
    there = {
        f"Apache Kafka ({KAFKA_MB} MB)": kafka_folder(config.cache).is_dir(),
        f"the model ({MODEL_MB} MB)": bool(config.model_url or config.pools) or model_file(config.cache).is_file(),
    }
    return [name for name, cached in there.items() if not cached]


def _servers(config: Config) -> Iterator[str]:
    from eventing.local import reaching

    yield from reaching.problems(config)


def _downloads(config: Config) -> Iterator[str]:
    if missing := _missing(config):
        proxy = " through HTTPS_PROXY" if os.environ.get("HTTPS_PROXY") else ""
        yield f"the first start fetches {' and '.join(missing)}{proxy} into {config.cache}"
    else:
        yield f"nothing has to be downloaded: all is in {config.cache}"
