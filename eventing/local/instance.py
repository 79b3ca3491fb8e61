"""One process of a function: started, ready, drained, stopped."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import aiohttp

from eventing.errors import NotNowError
from eventing.local import environment, processes
from eventing.local.config import Config
from eventing.local.forkserver import ForkServer, Process
from eventing.local.resources import Function
from eventing.posting import Poster

START_LIMIT_S = 60.0
GRACE_S = 32.0  # a little longer than uvicorn's own
HASTY_S = 2.0
_RECORDS = "function."
_LARGEST_REPLY = 2 * 1024 * 1024  # more than an event may hold, so that one that is too large is seen to be
_PROBE = aiohttp.ClientTimeout(total=2)


class FunctionUnavailableError(NotNowError):
    """A function that cannot be started; the message holds the last lines of its log."""

    title = "Function unavailable"


@dataclass(eq=False)
class Instance:
    """A process that serves; `in_flight` counts its requests."""

    function: str
    port: int
    process: Process
    record: processes.Service
    ready_after_s: float = 0.0
    in_flight: int = 0
    idle: asyncio.TimerHandle | None = None
    stopping: bool = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def poster(self) -> Poster:
        """Its events' way in. uvicorn closes an idle connection after 5 s; a shorter time here never meets that moment."""
        return Poster(self.url, kept_s=2.0, resend=False, largest=_LARGEST_REPLY)

    def busy(self) -> None:
        self.in_flight += 1
        if self.idle is not None:
            self.idle.cancel()
            self.idle = None

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """SIGTERM, then SIGKILL once the grace is over; no request may be in flight any more."""
        self.stopping = True
        self.process.terminate()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.process.wait(), grace_s)
        await self._kill()

    async def _kill(self) -> None:
        self.process.kill()
        await self.process.wait()
        processes.forget(self.record)


def starter(config: Config, http: aiohttp.ClientSession) -> tuple[ForkServer, Callable[[Function], Awaitable[Instance]]]:
    """Where all processes of a platform come from, and what starts one of a function."""
    told = environment.of_platform(config)
    forks = ForkServer(config.project, processes.log_of(config.state, "forking"), environment.of_all(told))

    async def begin(function: Function) -> Instance:
        return await start(function.name, forks, config.state, environment.of_function(function, told), http)

    return forks, begin


async def start(
    function: str, forks: ForkServer, state: Path, environ: Mapping[str, str], http: aiohttp.ClientSession
) -> Instance:
    """Start a process and wait until it is ready.

    Raises:
        FunctionUnavailableError: when it dies at start, or is not ready in START_LIMIT_S.
    """
    log, begun = processes.log_of(state, function), time.monotonic()
    try:
        written = log.stat().st_size if log.is_file() else 0
        instance = await _begun(function, forks, state, environ)
    except OSError as error:
        raise FunctionUnavailableError(f"function {function} cannot be started from {state}: {error}") from error
    try:
        problem = await _until_ready(instance, http)
    except asyncio.CancelledError:
        await instance._kill()
        raise
    if problem:
        await instance._kill()
        raise FunctionUnavailableError(f"function {function} {problem}; its log {log} ends with:\n{_tail(log, written)}")
    instance.ready_after_s = time.monotonic() - begun
    return instance


async def _begun(function: str, forks: ForkServer, state: Path, environ: Mapping[str, str]) -> Instance:
    """A process that was begun, and noted so that the next platform finds it; none where it could not be noted."""
    log, port = processes.log_of(state, function), _free_port()
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    process = await forks.fork(port, log, environ)
    try:
        noted = processes.record(state, f"{_RECORDS}{function}.{port}", process.pid)
    except OSError:
        process.kill()
        await process.wait()
        raise
    return Instance(function, port, process, noted)


def function_of(service: processes.Service) -> str:
    """The function of which a process is an instance; empty where it is of none."""
    return service.name.removeprefix(_RECORDS).rsplit(".", 1)[0] if service.name.startswith(_RECORDS) else ""


def end_leftovers(state: Path) -> list[str]:
    """End the processes that a killed platform left behind, at once: whom they would answer is gone. Their names."""
    found = [s for s in processes.leftovers(state) if function_of(s)]
    for service in found:
        processes.kill(service)
    for stale in (state / "run").glob(f"{_RECORDS}*.json"):
        stale.unlink(missing_ok=True)
    return [s.name.removeprefix(_RECORDS) for s in found]


async def _until_ready(instance: Instance, http: aiohttp.ClientSession) -> str | None:
    """Why it is not ready, or None once it is."""
    end = time.monotonic() + START_LIMIT_S
    exited = asyncio.ensure_future(instance.process.wait())
    try:
        while time.monotonic() < end:
            if exited.done():
                return f"ended with code {exited.result()} before it was ready"
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.get(f"{instance.url}/health/readiness", timeout=_PROBE) as answer:
                    if answer.status < 300:
                        return None
                    if answer.status == 500:  # its module could not be loaded; 503 would be "not yet"
                        return "answered GET /health/readiness with 500"
            await asyncio.sleep(0.015)
    finally:
        exited.cancel()
    return f"did not answer GET /health/readiness with 200 within {START_LIMIT_S:.0f} s"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _tail(log: Path, start: int, lines: int = 12) -> str:
    with log.open("rb") as content:
        content.seek(start)
        return "\n".join(content.read().decode("utf-8", "replace").splitlines()[-lines:]) or "(nothing)"
