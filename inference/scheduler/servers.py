"""What the scheduler knows of each model server at this moment: its breaker, its load, its pace."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from inference.scheduler.breaker import Breaker
from inference.scheduler.config import Server
from inference.scheduler.routing import Prefixes
from inference.scheduler.upstream import Upstream
from inference.scheduler.wire import Ask

LOOK_EVERY_S = 1.0
FULL = 0.95  # of the KV cache
BELIEVED_S = 60.0  # so long after the last answer: a pace that lets nobody in is never corrected
_SEEN_ENOUGH = 5  # answers before a pace is believed
_WEIGHT = 0.2
_GAUGE = re.compile(
    r"^vllm:(num_requests_waiting|num_requests_running|kv_cache_usage_perc)(?:\{[^}]*\})? ([0-9.eE+-]+)$", re.M
)


@dataclass
class Pace:
    """How fast a server answers, averaged over its last answers."""

    seen: int = 0
    first_token_s: float = 0.0
    token_s: float = 0.0
    share: float = 1.0  # of max_tokens that answers use
    at: float = 0.0  # the last answer's time, by the monotonic clock

    def observe(self, first_token_s: float, total_s: float, tokens: int, most: int) -> None:
        """Take one more whole answer into the average."""
        weight = _WEIGHT if self.seen else 1.0
        self.seen, self.at = self.seen + 1, time.monotonic()
        self.first_token_s += weight * (first_token_s - self.first_token_s)
        self.token_s += weight * ((total_s - first_token_s) / max(1, tokens - 1) - self.token_s)
        self.share += weight * (min(1.0, tokens / max(1, most)) - self.share)

    def expected_s(self, ask: Ask) -> float:
        """How long an answer will take at least, by all that is known; 0 where too little is."""
        if self.seen < _SEEN_ENOUGH or time.monotonic() - self.at > BELIEVED_S:
            return 0.0
        return self.first_token_s / 2 + self.token_s * ask.max_tokens * self.share / 2


@dataclass(eq=False)
class ModelServer:
    """A server at work."""

    config: Server
    breaker: Breaker
    prefixes: Prefixes = field(default_factory=Prefixes)
    pace: Pace = field(default_factory=Pace)
    outstanding: int = 0
    granted: int = 0  # calls so far
    paused_until: float = 0.0  # by the monotonic clock: it asked for that, or a connection to it broke
    lost: bool = False  # its connections broke, and no call was answered since: it died, and may be back at any moment
    waiting: int = 0  # what it says itself
    running: int = 0
    kv_cache: float = 0.0
    _waited: int = 0  # looks in a row at which calls waited there

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def slots(self) -> int:
        return self.config.slots

    @property
    def saturated(self) -> bool:
        """Whether it queues calls itself, or its cache is full: more would only wait there."""
        return self._waited >= 2 or (self.kv_cache >= FULL and self.outstanding > 0)

    @property
    def room(self) -> bool:
        """Whether a call may be sent to it now."""
        return (
            self.outstanding < self.slots
            and not (self.saturated and self.outstanding)
            and self.paused_until <= time.monotonic()
            and self.breaker.ready
        )

    def told(self, metrics: str) -> None:
        """Take in what vLLM's own metrics say."""
        found: dict[str, list[float]] = {}
        for name, value in _GAUGE.findall(metrics):  # of each engine
            found.setdefault(name, []).append(_number(value))
        self.waiting = int(sum(found.get("num_requests_waiting", ())))
        self.running = int(sum(found.get("num_requests_running", ())))
        self.kv_cache = max(found.get("kv_cache_usage_perc", ()), default=0.0)
        self._waited = self._waited + 1 if self.waiting else 0


def _number(text: str) -> float:
    try:
        return min(max(float(text), 0.0), 1e9)
    except ValueError:
        return 0.0


async def watch(servers: list[ModelServer], upstream: Upstream, changed: Callable[[], None]) -> None:
    """Look at all servers, until cancelled: at the queue of those that show it, and whether those that died are back."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        await asyncio.gather(*(_look(server, upstream) for server in servers))
        changed()


async def _look(server: ModelServer, upstream: Upstream) -> None:
    if server.config.kind == "vllm":
        status, text = await upstream.get(server.config, "metrics")
        server.told(text if status == 200 else "")
    if server.lost and server.breaker.opens_in() > 0:
        status, _ = await upstream.get(server.config, "health")
        if status == 200:
            server.breaker.expire()
