"""Who may go to a server now, and who waits: no more in flight than the servers take, fair between tenants (`queueing`).

What cannot be answered in time any more is refused before anything is bought for it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager

from inference.scheduler import routing
from inference.scheduler.config import Limits, Pool
from inference.scheduler.errors import NotInTimeError, QueueFullError
from inference.scheduler.queueing import Place, Queue, Waiting
from inference.scheduler.servers import ModelServer
from inference.scheduler.wire import Ask

_FAR = 30 * 86_400.0


class Admission:
    """Grants places at servers, in order."""

    def __init__(
        self,
        pools: Mapping[str, Pool],
        servers: Mapping[str, list[ModelServer]],
        limits: Limits,
        affinity: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pools, self._servers, self._limits, self._affinity, self._clock = pools, servers, limits, affinity, clock
        self._queues = {name: Queue() for name in pools}
        self._wake: asyncio.TimerHandle | None = None
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        return self._waiting

    @asynccontextmanager
    async def place(
        self, pool: str, ask: Ask, until: float | None, avoid: Iterable[str] = (), *, again: bool = False
    ) -> AsyncIterator[Place]:
        """A slot of a server of the pool (or of its fallback, when none of its own can be asked), until left.

        Args:
            until: when the answer must be there, by the clock; None when nobody is in a hurry.
            avoid: servers that are asked only where no other can be.
            again: whether it had a place before, and is taken however many wait.

        Raises:
            QueueFullError: too many calls wait already.
            NotInTimeError: it cannot be answered in time; nothing was bought.
        """
        if self._waiting >= self._limits.waiting and not again:
            raise QueueFullError(f"{self._waiting} calls wait already, which is the limit; ask again later")
        begun, queue = self._clock(), self._queues[pool]
        call = queue.put(ask, begun + _FAR if until is None else until, frozenset(avoid))
        self._waiting += 1
        try:
            place = await self._granted(queue, call, begun)
        finally:
            self._waiting -= 1
        try:
            yield Place(place.server, place.probe, self._clock() - begun)
        finally:
            place.server.outstanding -= 1
            self.pump()

    async def _granted(self, queue: Queue, call: Waiting, begun: float) -> Place:
        try:
            self.pump()
            async with asyncio.timeout(max(0.0, call.until - begun)):
                return await asyncio.shield(call.place)
        except TimeoutError:
            if call.place.done():
                return call.place.result()
            raise self.late(call.ask, begun) from None
        except BaseException:
            if call.place.done() and call.place.exception() is None:
                self._give_back(call.place.result())
            raise
        finally:
            if call.place.cancel():
                queue.forget()

    def _give_back(self, place: Place) -> None:
        place.server.breaker.leave(place.probe, failed=None)
        place.server.outstanding -= 1
        self.pump()

    def late(self, ask: Ask, begun: float) -> NotInTimeError:
        """What a call is told that ran out of time while it waited."""
        waited = self._clock() - begun
        closed = [s for servers in self._servers.values() for s in servers if not s.breaker.ready]
        why = f"; the breakers of {', '.join(s.name for s in closed)} are open" if closed else ""
        error = NotInTimeError(
            f"the call could not be answered by its deadline: it waited {waited:.1f} s among {self._waiting} calls{why}; "
            "nothing was bought, ask again later or give it more time"
        )
        error.retry_after = max(1.0, *(s.breaker.opens_in() for s in closed)) if closed else 2.0
        return error

    def pump(self) -> None:
        """Grant what can be granted now; pools take turns at the servers that they share."""
        while (granted := next((name for name in self._queues if self._granted_one(name)), None)) is not None:
            self._queues[granted] = self._queues.pop(granted)
        self._again()

    def _granted_one(self, pool: str) -> bool:
        """Grant the next call of a pool a place, past those that shun what is free; False when there is none for it."""
        queue, aside = self._queues[pool], list[Waiting]()
        try:
            while (call := queue.next()) is not None and self._room():
                if servers := [server for server in self._reachable(pool, call.avoid) if server.room]:
                    self._grant(queue, call, routing.choose(servers, call.blocks if self._affinity else ()))
                    return True
                if not call.avoid:
                    return False
                queue.aside(call)
                aside.append(call)
            return False
        finally:
            for call in aside:
                queue.back(call)

    def _room(self) -> bool:
        return any(server.room for servers in self._servers.values() for server in servers)

    def _grant(self, queue: Queue, call: Waiting, server: ModelServer) -> None:
        now = self._clock()
        if now + server.pace.expected_s(call.ask) > call.until:
            queue.take(call, granted=False)
            call.place.set_exception(self.late(call.ask, now))
            return
        queue.take(call, granted=True)
        server.outstanding += 1
        server.granted += 1
        server.prefixes.add(call.blocks)
        call.place.set_result(Place(server, server.breaker.enter()))

    def _reachable(self, pool: str, avoid: frozenset[str]) -> list[ModelServer]:
        """The servers that may be asked, of the first pool along the fallbacks that has one; at last those to be avoided."""
        for shunned in (avoid, frozenset[str]()):
            at: str | None = pool
            while at is not None:
                if found := [s for s in self._servers[at] if s.breaker.ready and s.name not in shunned]:
                    return found
                at = self._pools[at].fallback
        return []

    def _again(self) -> None:
        """Look again when the next closed door opens by itself."""
        if self._wake is not None:
            self._wake.cancel()
            self._wake = None
        if not self._waiting:
            return
        now = time.monotonic()
        every = [server for servers in self._servers.values() for server in servers]
        pauses = (max(server.breaker.opens_in(), server.paused_until - now) for server in every)
        soonest = min((pause for pause in pauses if pause > 0), default=math.inf)
        if soonest < math.inf:
            self._wake = asyncio.get_running_loop().call_later(soonest + 0.01, self.pump)
