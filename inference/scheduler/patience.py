"""How long a server may be silent: until its first token, which may have to queue, and between two tokens.

A server that hangs says nothing on any of its connections, while one that makes a single answer wait, for want of cache,
goes on with the others. So an answer that was begun bears less silence where no other of its server is heard either.
"""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass

from inference.scheduler.config import Limits


@dataclass
class Pulse:
    """When a token of any of a server's answers was last heard, by the loop's clock."""

    at: float = -math.inf


class Patience:
    """Until when one call's server must have said something."""

    def __init__(self, limits: Limits, pulse: Pulse, silence_s: float = math.inf) -> None:
        self._limits, self._pulse, self._most = limits, pulse, silence_s
        self._heard = self._now()
        self._begun = False

    def renew(self) -> None:
        """A token came."""
        self._heard = self._pulse.at = self._now()
        self._begun = True

    @property
    def until(self) -> float:
        if not self._begun:
            return self._heard + min(self._limits.first_token_s, self._most)
        return min(self._heard + min(self._limits.silence_s, self._most), self._pulse.at + self._limits.stall_s)

    @property
    def limit_s(self) -> float:
        """How much silence it bears as things stand."""
        return round(self.until - self._heard, 3)

    @property
    def over(self) -> bool:
        return self._now() >= self.until

    def _now(self) -> float:
        return asyncio.get_running_loop().time()
