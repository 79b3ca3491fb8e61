"""Notices a handler that keeps the event loop to itself, says at which line, and ends it at its time limit.

While a handler runs, the loop winds an alarm again and again. It goes off when the loop did not come round to it, and the
signal arrives in the very code that blocks: in Python, in time.sleep, in a socket. Nothing happens before `arm`, which a
process that serves calls, and outside the main thread, where no signal arrives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import FrameType

from eventing import places
from eventing.errors import AgentError

LOG = logging.getLogger("torpor")
PATIENCE_S = 1.0
_BEAT_S = 0.25
BLOCKS = "blocks its process at"  # in the log, once for each line of code that does
_MEND = "await what takes long, or run it in a thread: await asyncio.to_thread(...)"


class BlockedError(AgentError):
    title = "Agent blocks its process"


@dataclass
class Alarm:
    """The alarm of a process."""

    armed: bool = False
    handlers: int = 0
    limit_s: float = 0.0
    agent: str = ""
    _seen: float = 0.0
    _beat: asyncio.TimerHandle | None = None
    _told: set[str] = field(default_factory=set)

    def arm(self) -> None:
        self.armed = hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
        if self.armed:
            signal.signal(signal.SIGALRM, self._rung)

    @contextlib.contextmanager
    def watching(self, agent: str, limit_s: float) -> Iterator[None]:
        """Watch over the loop while a handler runs."""
        if not self.armed or threading.current_thread() is not threading.main_thread():
            yield
            return
        self.agent, self.limit_s = agent, limit_s
        if self.handlers == 0:
            self._wind()
        self.handlers += 1
        try:
            yield
        finally:
            self.handlers -= 1
            if self.handlers == 0:
                signal.setitimer(signal.ITIMER_REAL, 0)
                if self._beat:
                    self._beat.cancel()

    def _wind(self) -> None:
        self._seen = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, min(PATIENCE_S, self.limit_s))
        self._beat = asyncio.get_running_loop().call_later(_BEAT_S, self._wind)

    def _rung(self, _: int, frame: FrameType | None) -> None:
        blocked = time.monotonic() - self._seen
        at = places.of_frame(frame)
        signal.setitimer(signal.ITIMER_REAL, max(0.05, min(PATIENCE_S, self.limit_s - blocked)))
        if at is None or blocked < min(PATIENCE_S, self.limit_s):
            return  # no agent's code: a library that is loaded, or the loop has just gone on
        if blocked >= self.limit_s:
            self._seen = time.monotonic()
            raise BlockedError(f"agent {self.agent} blocked its process for {blocked:.0f} s at {at}: {_MEND}")
        if at not in self._told:
            self._told.add(at)
            LOG.warning("agent %s %s %s (%.1f s so far): %s", self.agent, BLOCKS, at, blocked, _MEND)


ALARM = Alarm()
