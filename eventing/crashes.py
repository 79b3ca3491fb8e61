"""Death at an effect of a step, on order: between any two of them a process may die. For development alone.

TORPOR_CRASH_AT names a file. Whoever comes to the place that is written in it (`before publish`, say) removes the file and
dies at once, as by kill -9; of several processes one does. Without the variable nothing of this is loaded.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from eventing.envelope import Event
from eventing.step import Objects, Publish, Steps

EFFECTS = ("store", "publish", "mark")
PLACES = tuple(f"{when} {effect}" for effect in EFFECTS for when in ("before", "after"))


@dataclass(frozen=True)
class Crashes:
    """Takes the orders of one file."""

    order: Path

    def at(self, place: str) -> None:
        """Die here, if that is the order and nobody else takes it first."""
        try:
            if self.order.read_text() != place:
                return
            self.order.unlink()
        except OSError:  # no order, or another's
            return
        os.kill(os.getpid(), signal.SIGKILL)

    def steps(self, steps: Steps) -> Steps:
        """The same protocol, with a crash at each of its effects where it is ordered."""
        return Steps(_Objects(steps.objects, self), self._publishing(steps.publish), steps.ends)

    def _publishing(self, publish: Publish) -> Publish:
        async def crashing(event: Event) -> None:
            self.at("before publish")
            await publish(event)
            self.at("after publish")

        return crashing


@dataclass(frozen=True)
class _Objects:
    objects: Objects
    crashes: Crashes

    async def create(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        self.crashes.at("before store")
        created = await self.objects.create(key, data, content_type)
        self.crashes.at("after store")
        return created

    async def mark(self, key: str, of: str) -> None:
        self.crashes.at("before mark")
        await self.objects.mark(key, of)
        self.crashes.at("after mark")

    async def get(self, key: str) -> bytes | None:
        return await self.objects.get(key)

    async def keys(self, prefix: str) -> list[str]:
        return await self.objects.keys(prefix)
