"""What Serving plays: functions that have no process while idle, and get as many as their requests need."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from eventing.local.instance import GRACE_S, FunctionUnavailableError, Instance
from eventing.local.resources import Function

_log = logging.getLogger(__name__)
_MOST_PROCESSES = 16  # of one function on one machine, where func.yaml sets no limit
_RESTART_S = (0.5, 1, 2, 4, 8, 15, 30)  # before a function with a min-scale is started again

COLDSTART = "Torpor-Coldstart"  # on the request that was held while its function woke
WAITED = "Torpor-Wake-Seconds"  # for how long

Start = Callable[[Function], Awaitable[Instance]]
Farewell = Callable[[Instance], Awaitable[None]]  # what is done with a process before it is stopped


@dataclass(frozen=True)
class Place:
    """Where a request goes; `woke` says that it was held until the function woke, for `waited_s`."""

    instance: Instance
    woke: bool
    waited_s: float = 0.0

    @property
    def url(self) -> str:
        return self.instance.url

    @property
    def headers(self) -> dict[str, str]:
        """What the request is told of its wait."""
        return {COLDSTART: "true", WAITED: f"{self.waited_s:.3f}"} if self.woke else {}


@dataclass
class Counts:
    wakes: int = 0
    starts: int = 0
    crashes: int = 0
    failed_starts: int = 0
    cold_start_s: float = 0.0  # the last one
    cold_start_total_s: float = 0.0


class Scaled:
    """One function: its processes and the requests that wait for one."""

    def __init__(
        self,
        function: Function,
        start: Start,
        idle_s: float,
        farewell: Farewell | None = None,
        turns: asyncio.Semaphore | None = None,
    ) -> None:
        self.function = function
        self._turns = turns or asyncio.Semaphore(_MOST_PROCESSES)
        self.counts = Counts()
        self._start = start
        self._farewell = farewell
        self._idle_s = idle_s
        self._serving: list[Instance] = []
        self._leaving: list[Instance] = []  # they answer what they have, and get nothing more
        self._generation = 0  # of the code: what was started from an older one is not used
        self._last_failure = ""
        self._starting: set[asyncio.Task[None]] = set()
        self._waiting: deque[asyncio.Future[Instance]] = deque()
        self._ending: set[asyncio.Task[None]] = set()
        self._watching: set[asyncio.Task[None]] = set()
        self._queued = 0  # of those that start: they wait for their turn
        self._failed_in_a_row = 0
        self._drained = asyncio.Event()
        self._closed = False

    @property
    def state(self) -> str:
        return "awake" if self._serving else "waking" if self._starting or self._waiting else "asleep"

    @property
    def instances(self) -> int:
        """Processes, those that start or stop included."""
        return len(self._serving) + len(self._leaving) + len(self._starting) - self._queued + len(self._ending)

    @property
    def serving(self) -> tuple[Instance, ...]:
        return tuple(self._serving)

    @property
    def in_flight(self) -> int:
        return self._load + sum(i.in_flight for i in self._leaving)

    @property
    def _load(self) -> int:
        return sum(i.in_flight for i in self._serving) + len(self._waiting)

    @asynccontextmanager
    async def request(self) -> AsyncIterator[Place]:
        """A place for one request, held until there is one.

        Raises:
            FunctionUnavailableError: when the function cannot be started.
        """
        woke, begun = not self._serving, time.monotonic()
        instance = self._free() if not self._waiting else None
        if instance is None:
            instance = await self._wait()
        else:
            instance.busy()
        try:
            yield Place(instance, woke, time.monotonic() - begun)
        finally:
            self._release(instance)

    def scale(self) -> None:
        """Start what is missing for the requests there are, within min-scale and max-scale."""
        if self._closed:
            return
        missing = self._wanted() - len(self._serving) - len(self._starting)
        if missing > 0 and not self._serving and not self._starting:
            self.counts.wakes += 1
        for _ in range(missing):
            first = not self._serving and not self._starting
            task = asyncio.ensure_future(self._add(first))
            self._starting.add(task)
            task.add_done_callback(self._starting.discard)

    def renew(self, function: Function | None = None) -> None:
        """Let every process end once it has answered what it has; whatever comes from now on gets new ones."""
        self.function = function or self.function
        self._generation += 1
        for instance in list(self._serving):
            if instance.in_flight:
                self._serving.remove(instance)
                self._leaving.append(instance)
            else:
                self._retire(instance)
        if self._waiting or self.function.min_scale:
            self.scale()

    async def close(self, drain_s: float, grace_s: float) -> None:
        """Take no request any more, wait for those in flight, then end every process, by force once the grace is over."""
        self._closed = True
        self._refuse(FunctionUnavailableError(f"function {self.function.name} is stopping"))
        for task in list(self._starting):
            task.cancel()
        if self.in_flight:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._drained.wait(), drain_s)
        for instance in [*self._serving, *self._leaving]:
            self._retire(instance, grace_s)
        await asyncio.gather(*self._starting, *self._ending, return_exceptions=True)
        for watch in self._watching:
            watch.cancel()

    def _wanted(self) -> int:
        most = min(self.function.max_scale or _MOST_PROCESSES, _MOST_PROCESSES)
        each = self.function.concurrency
        needed = math.ceil(self._load / each) if each else min(self._load, 1)
        return min(most, max(needed, self.function.min_scale))

    def _free(self) -> Instance | None:
        """The first process with room: the later ones fall idle."""
        each = self.function.concurrency or math.inf
        return next((i for i in self._serving if i.in_flight < each), None)

    async def _wait(self) -> Instance:
        if self._closed:
            raise FunctionUnavailableError(f"function {self.function.name} is stopping")
        place: asyncio.Future[Instance] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        self.scale()
        try:
            return await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self._release(place.result())
            elif place in self._waiting:
                self._waiting.remove(place)
            raise

    def _hand_out(self) -> None:
        while self._waiting and (instance := self._free()):
            place = self._waiting.popleft()
            if not place.done():
                instance.busy()
                place.set_result(instance)

    def _release(self, instance: Instance) -> None:
        instance.in_flight -= 1
        self._hand_out()
        if self._closed and not self.in_flight:
            self._drained.set()
        if instance in self._leaving and instance.in_flight == 0:
            self._retire(instance)
        self._rest(instance)

    def _rest(self, instance: Instance) -> None:
        if instance.in_flight == 0 and instance.idle is None and instance in self._serving:
            loop = asyncio.get_running_loop()
            instance.idle = loop.call_later(self._idle_s, self._idle, instance)

    def _idle(self, instance: Instance) -> None:
        instance.idle = None
        if instance.in_flight == 0 and len(self._serving) > self.function.min_scale:
            self._retire(instance)

    def _retire(self, instance: Instance, grace_s: float = GRACE_S) -> None:
        for among in (self._serving, self._leaving):
            if instance in among:
                among.remove(instance)
                self._end(instance, grace_s)

    def _end(self, instance: Instance, grace_s: float = GRACE_S) -> None:
        task = asyncio.ensure_future(self._stop(instance, grace_s))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _stop(self, instance: Instance, grace_s: float) -> None:
        instance.stopping = True
        if self._farewell is not None:
            await self._farewell(instance)
        await instance.stop(grace_s)

    async def _add(self, first: bool) -> None:
        generation = self._generation
        try:
            async with self._turn(first):
                if not first and self._wanted() < len(self._serving) + len(self._starting):
                    self._started()
                    return
                instance = await self._start(self.function)
        except FunctionUnavailableError as error:
            self._started()
            self._failed(error)
            return
        self._started()
        if generation != self._generation:
            self._end(instance)
            self.scale()
            return
        self.counts.starts += 1
        self.counts.cold_start_s = instance.ready_after_s
        self.counts.cold_start_total_s += instance.ready_after_s
        self._failed_in_a_row, self._last_failure = 0, ""
        self._serving.append(instance)
        watch = asyncio.ensure_future(self._watch(instance))
        self._watching.add(watch)
        watch.add_done_callback(self._watching.discard)
        self._hand_out()
        self._rest(instance)

    @asynccontextmanager
    async def _turn(self, first: bool) -> AsyncIterator[None]:
        """Wait with a second process until few others start.

        A machine that wakes all functions at once, with all that waited for a platform that was killed, would have none
        awake for long.
        """
        if first:
            yield
            return
        self._queued += 1
        try:
            await self._turns.acquire()
        finally:
            self._queued -= 1
        try:
            yield
        finally:
            self._turns.release()

    def _started(self) -> None:
        """The start that runs this is over: it counts no more, though its task goes on for a moment."""
        if (task := asyncio.current_task()) is not None:
            self._starting.discard(task)

    def _failed(self, error: FunctionUnavailableError) -> None:
        if str(error) != self._last_failure:  # every attempt of a delivery may find the same
            _log.error("%s", error)
        self._last_failure = str(error)
        self.counts.failed_starts += 1
        self._failed_in_a_row += 1
        if not self._serving and not self._starting:
            self._refuse(error)
        self._keep_min_scale()

    def _refuse(self, error: FunctionUnavailableError) -> None:
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_exception(error)

    async def _watch(self, instance: Instance) -> None:
        code = await instance.process.wait()
        if not instance.stopping:
            self.gone(instance, f"ended with code {code}")

    def gone(self, instance: Instance, why: str) -> None:
        """Serve nothing from a process that went away by itself; start another where one is needed."""
        if instance not in self._serving:
            return
        _log.error("function %s (pid %d) %s", self.function.name, instance.process.pid, why)
        self.counts.crashes += 1
        self._failed_in_a_row += 1
        self._retire(instance, grace_s=1)
        if self._waiting:
            self.scale()
        self._keep_min_scale()

    def _keep_min_scale(self) -> None:
        if self.function.min_scale and not self._closed:
            pause = _RESTART_S[min(self._failed_in_a_row, len(_RESTART_S)) - 1]
            asyncio.get_running_loop().call_later(pause, self.scale)


class Functions:
    """All functions by name."""

    def __init__(self, functions: Iterable[Function], start: Start, idle_s: float, farewell: Farewell | None = None) -> None:
        turns = asyncio.Semaphore(os.cpu_count() or 1)
        self._scaled = {f.name: Scaled(f, start, idle_s, farewell, turns) for f in functions}

    def __getitem__(self, name: str) -> Scaled:
        return self._scaled[name]

    def __contains__(self, name: str) -> bool:
        return name in self._scaled

    def all(self) -> list[Scaled]:
        return list(self._scaled.values())

    def keep_min_scale(self) -> None:
        for scaled in self.all():
            scaled.scale()

    async def close(self, drain_s: float = 10.0, grace_s: float = GRACE_S) -> None:
        await asyncio.gather(*(s.close(drain_s, grace_s) for s in self.all()))
