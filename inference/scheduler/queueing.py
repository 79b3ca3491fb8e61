"""The calls that wait for a pool, in the order in which it is their turn.

Tenants take turns by the tokens they were granted (start-time fair queueing); among one tenant's calls the earliest deadline
goes first. A waiting call is a future and an entry in a heap; who goes away leaves its entry behind until it is met. What is
held is in proportion to what waits.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections import OrderedDict
from dataclasses import dataclass, field

from inference.scheduler import routing
from inference.scheduler.servers import ModelServer
from inference.scheduler.wire import Ask

REMEMBERED = 10_000  # tenants with nothing waiting whose turn is kept
_FEW = 64  # entries of callers that went away, which may lie about


@dataclass(order=True)
class Waiting:
    """A call that waits."""

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
    calls: list[Waiting] = field(default_factory=list)


class Queue:
    """The calls that wait for one pool."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._tenants: dict[str, _Tenant] = {}
        self._rested: OrderedDict[str, float] = OrderedDict()  # turns of tenants with nothing waiting
        self._turns: list[tuple[float, float, int, str]] = []  # a heap of tenants' turns; outdated entries are passed over
        self._turn = 0.0
        self._entries = self._gone = 0

    @property
    def size(self) -> int:
        """What it holds, of all kinds: in proportion to what waits."""
        return self._entries + len(self._tenants) + len(self._turns) + len(self._rested)

    def put(self, ask: Ask, until: float, avoid: frozenset[str] = frozenset()) -> Waiting:
        """Let a call wait that must be answered `until`."""
        place: asyncio.Future[Place] = asyncio.get_running_loop().create_future()
        call = Waiting(until, next(self._numbers), ask, routing.blocks(ask.prompt), place, avoid)
        self.back(call)
        return call

    def back(self, call: Waiting) -> None:
        """Put a call back that was set `aside`."""
        if call.ask.tenant not in self._tenants:
            self._tenants[call.ask.tenant] = _Tenant(max(self._turn, self._rested.pop(call.ask.tenant, 0.0)))
        tenant = self._tenants[call.ask.tenant]
        heapq.heappush(tenant.calls, call)
        self._entries += 1
        if tenant.calls[0] is call:
            self._line_up(call.ask.tenant, tenant)

    def _line_up(self, name: str, tenant: _Tenant) -> None:
        first = tenant.calls[0]
        heapq.heappush(self._turns, (tenant.turn, first.until, first.number, name))

    def next(self) -> Waiting | None:
        """The call whose turn it is; it stays until `take` or `aside`."""
        while self._turns:
            turn, _, number, name = self._turns[0]
            tenant = self._tenants.get(name)
            if tenant and tenant.calls and tenant.turn == turn and tenant.calls[0].number == number:
                if not tenant.calls[0].place.done():
                    return tenant.calls[0]
                self._gone -= 1
                self._drop(name, tenant)
            heapq.heappop(self._turns)
        return None

    def take(self, call: Waiting, *, granted: bool) -> None:
        """Remove the call that `next` gave; what is granted counts for its tenant's turn."""
        tenant = self._tenants[call.ask.tenant]
        if granted:
            self._turn = max(self._turn, tenant.turn)
            tenant.turn += call.ask.tokens
        self._drop(call.ask.tenant, tenant)

    def aside(self, call: Waiting) -> None:
        """Look beyond the call that `next` gave, until it is put `back`."""
        self._pop(call.ask.tenant, self._tenants[call.ask.tenant])

    def forget(self) -> None:
        """One caller more went away; its entry stays until it is met, or there are too many of them."""
        self._gone += 1
        if self._gone <= max(_FEW, self._entries // 2):
            return
        for name, tenant in list(self._tenants.items()):
            tenant.calls = [call for call in tenant.calls if not call.place.done()]
            heapq.heapify(tenant.calls)
            if not tenant.calls:
                self._rest(name, tenant)
        self._turns = []
        for name, tenant in self._tenants.items():
            self._line_up(name, tenant)
        self._entries, self._gone = sum(len(tenant.calls) for tenant in self._tenants.values()), 0

    def _pop(self, name: str, tenant: _Tenant) -> None:
        heapq.heappop(tenant.calls)
        self._entries -= 1
        if tenant.calls:
            self._line_up(name, tenant)

    def _drop(self, name: str, tenant: _Tenant) -> None:
        self._pop(name, tenant)
        if not tenant.calls:
            self._rest(name, tenant)

    def _rest(self, name: str, tenant: _Tenant) -> None:
        """A tenant has nothing waiting: its turn is remembered while it is beyond the others'."""
        del self._tenants[name]
        if tenant.turn > self._turn:
            self._rested[name] = tenant.turn
            if len(self._rested) > REMEMBERED:
                self._rested.popitem(last=False)
