"""Kafka, the model server and its scheduler: started side by side, adopted where they run, stopped with what is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

from eventing.local import kafka_server, model_server, processes, scheduler
from eventing.local.config import Config, Progress
from eventing.local.errors import LocalPlatformError

_LONGEST_PAUSE_S = 30.0


class _Abandoned(Exception):
    """Whoever asked for the services asks no more."""


def start(config: Config, progress: Progress, whole: bool = True) -> None:
    """Bring all of them up; returns once all answer, or not `whole`, once Kafka can do with what of it answers.

    An interrupt ends downloads at once.

    Raises:
        LocalPlatformError: when one cannot be; the others are left as they are, for `stop` or the next start.
    """
    abandoned = threading.Event()

    def report(what: str, doing: str, share: float | None) -> None:
        if abandoned.is_set():
            raise _Abandoned
        progress(what, doing, share)

    with ThreadPoolExecutor(3, "service") as pool:
        try:
            calls = (partial(kafka_server.start, whole=whole), model_server.start, scheduler.start)
            starting: list[Future[Any]] = [pool.submit(call, config, report) for call in calls]
            problems = [problem for one in starting if (problem := one.exception()) is not None]
        except BaseException:
            abandoned.set()
            raise
    if len(problems) > 1 and all(isinstance(problem, LocalPlatformError) for problem in problems):
        raise LocalPlatformError("\n".join(dict.fromkeys(map(str, problems)))) from problems[0]
    if problems:
        raise problems[0]


async def keep(config: Config, progress: Progress, every_s: float = 1.0) -> None:
    """Start anew whatever of them ends by itself, until cancelled; what cannot be started is told, and tried again."""
    embedded = not (config.model_url or config.pools)
    names = (*kafka_server.NAMES[: config.brokers], scheduler.NAME, *([model_server.NAME] if embedded else []))
    failed = 0
    while True:
        await asyncio.sleep(min(every_s * 2**failed, _LONGEST_PAUSE_S))
        gone = [name for name in names if processes.find(config.state, name) is None]
        if not gone:
            continue
        try:
            progress(gone[0], f"{' and '.join(gone)} ended by itself: starting anew", None)
            await asyncio.to_thread(start, config, progress)
            failed = 0
        except (LocalPlatformError, OSError) as error:  # the latter for a full disk, where nothing can be told either
            failed += 1
            with contextlib.suppress(OSError):
                progress(gone[0], f"could not be started: {error}", None)


def stop(config: Config) -> list[str]:
    """End every process that was started from this state folder, agents first, Kafka last; their names."""
    found = [service for service in processes.leftovers(config.state) if service.pid != os.getpid()]
    order = {scheduler.NAME: 1, model_server.NAME: 2, **dict.fromkeys(kafka_server.NAMES, 3)}
    with ThreadPoolExecutor(8, "stop") as pool:
        for turn in range(4):
            list(pool.map(processes.stop, [service for service in found if order.get(service.name, 0) == turn]))
    return [service.name for service in found]
