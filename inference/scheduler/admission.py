"""Who may go to a server now, and who waits: no more in flight than the servers take, fair between tenants.

Tenants take turns by the tokens they were granted (start-time fair queueing); among one tenant's calls the earliest deadline
goes first. A waiting call is a future and an entry in a heap. What cannot be answered in time any more is refused before
anything is bought for it.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from inference.scheduler import routing
from inference.scheduler.config import Limits, Pool
from inference.scheduler.errors import NotInTimeError, QueueFullError
from inference.scheduler.servers import ModelServer
from inference.scheduler.wire import Ask

_FAR = 30 * 86_400.0


@dataclass(order=True)
class _Waiting:
    until: float
    number: int
    ask: Ask = field(compare=False)
    blocks: tuple[bytes, ...] = field(compare=False)
    place: asyncio.Future[Place] = field(compare=False)
    avoid: frozenset[str] = field(compare=False)  # servers that failed on it


@dataclass(frozen=True)
class Place:
    """A slot of a server, granted to one call; `probe` when it tries a half-open breaker."""

    server: ModelServer
    probe: bool
    waited_s: float = 0.0  # in the queue


@dataclass
class _Tenant:
    turn: float = 0.0  # virtual time: tokens granted so far
    calls: list[_Waiting] = field(default_factory=list)


class Queue:
    """The calls that wait for one pool."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._numbers = itertools.count()
        self._tenants: dict[str, _Tenant] = {}
        self._turns: list[tuple[float, float, int, str]] = []  # a heap of tenants' turns; outdated entries are passed over
        self._turn = 0.0

    def put(self, ask: Ask, until: float, avoid: frozenset[str] = frozenset()) -> _Waiting:
        """Let a call wait that must be answered `until`."""
        tenant = self._tenants.setdefault(ask.tenant, _Tenant(self._turn))
        place: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        call = _Waiting(until, next(self._numbers), ask, routing.blocks(ask.prompt), place, avoid)
        heapq.heappush(tenant.calls, call)
        if tenant.calls[0] is call:
            self._line_up(ask.tenant, tenant)
        return call

    def _line_up(self, name: str, tenant: _Tenant) -> None:
        first = tenant.calls[0]
        heapq.heappush(self._turns, (tenant.turn, first.until, first.number, name))

    def next(self) -> _Waiting | None:
        """The call whose turn it is; it stays until `take`."""
        while self._turns:
            turn, _, number, name = self._turns[0]
            tenant = self._tenants.get(name)
            if tenant and tenant.calls and tenant.turn == turn and tenant.calls[0].number == number:
                if not tenant.calls[0].place.done():
                    return tenant.calls[0]
                self._drop(name, tenant)  # its caller went away
            heapq.heappop(self._turns)
        return None

    def take(self, call: _Waiting, *, granted: bool) -> None:
        """Remove the call that `next` gave; what is granted counts for its tenant's turn."""
        tenant = self._tenants[call.ask.tenant]
        if granted:
            self._turn = max(self._turn, tenant.turn)
            tenant.turn += call.ask.tokens
        self._drop(call.ask.tenant, tenant)

    def _drop(self, name: str, tenant: _Tenant) -> None:
        heapq.heappop(tenant.calls)
        if tenant.calls:
            self._line_up(name, tenant)
        elif tenant.turn <= self._turn:
            del self._tenants[name]


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
        self._queues = {name: Queue(pool) for name, pool in pools.items()}
        self._wake: asyncio.TimerHandle | None = None
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """Calls that wait now."""
        return self._waiting

    @asynccontextmanager
    async def place(self, pool: str, ask: Ask, until: float | None, avoid: Iterable[str] = ()) -> AsyncIterator[Place]:
        """A slot of a server of the pool (or of its fallback, when none of its own can be asked), until left.

        Args:
            until: when the answer must be there, by the clock; None when nobody is in a hurry.
            avoid: servers that are asked only where no other can be.

        Raises:
            QueueFullError: too many calls wait already.
            NotInTimeError: it cannot be answered in time; nothing was bought.
        """
        if self._waiting >= self._limits.waiting:
            raise QueueFullError(f"{self._waiting} calls wait already, which is the limit; ask again later")
        begun = self._clock()
        call = self._queues[pool].put(ask, begun + _FAR if until is None else until, frozenset(avoid))
        self._waiting += 1
        try:
            self.pump()
            place = await self._granted(call, begun)
        finally:
            self._waiting -= 1
        try:
            yield Place(place.server, place.probe, self._clock() - begun)
        finally:
            place.server.outstanding -= 1
            self.pump()

    async def _granted(self, call: _Waiting, begun: float) -> Place:
        try:
            return await asyncio.wait_for(asyncio.shield(call.place), max(0.0, call.until - begun))
        except TimeoutError:
            if call.place.done() and not call.place.cancelled():
                return call.place.result()
            call.place.cancel()
            raise self.late(call.ask, begun) from None
        except asyncio.CancelledError:
            if call.place.done() and not call.place.cancelled() and call.place.exception() is None:
                self._give_back(call.place.result())
            call.place.cancel()
            raise

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
        """Grant what can be granted now."""
        for name, queue in self._queues.items():
            while (call := queue.next()) is not None:
                servers = [server for server in self._reachable(name, call.avoid) if server.room]
                if not servers:
                    break
                self._grant(queue, call, routing.choose(servers, call.blocks if self._affinity else ()))
        self._again()

    def _grant(self, queue: Queue, call: _Waiting, server: ModelServer) -> None:
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
