"""What functions print: passed on to whoever watches where `torpor up` runs, and kept up to a size."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

from eventing.local import processes
from eventing.local.config import Progress
from eventing.local.functions import Functions
from eventing.stalls import BLOCKS

_LOOK_EVERY_S = 0.3
_MOST_LINES, _MOST_BYTES = 100, 100_000  # of one function that are passed on at a time
_MOST_KEPT = 16 << 20  # bytes of one function's log, and of what went before
_SERVERS_OWN = ("INFO:",)  # uvicorn's comings and goings


class Listener:
    """Follows the functions' logs, while a function serves: a start that fails is told by whoever started it.

    `blocking` is what a function said of itself that keeps its process from all else, as long as it has requests.
    """

    def __init__(self, functions: Functions, state: Path, progress: Progress, blocking: dict[str, str]) -> None:
        self._functions, self._state, self._progress = functions, state, progress
        self._blocking = blocking
        self._at: dict[str, int] = {}
        self._awake: set[str] = set()

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_LOOK_EVERY_S)

    def look(self) -> None:
        for scaled in self._functions.all():
            name = scaled.function.name
            if not scaled.in_flight:
                self._blocking.pop(name, None)
            self._follow(name, scaled.state == "awake" or name in self._awake)
            self._awake = self._awake | {name} if scaled.state == "awake" else self._awake - {name}

    def _follow(self, name: str, tell: bool) -> None:
        try:
            size = (log := processes.log_of(self._state, name)).stat().st_size
        except OSError:
            return
        at = self._at.get(name)
        if at is not None and tell and size > at:
            with log.open("rb") as content:
                content.seek(at)
                new = content.read(min(size - at, _MOST_BYTES))
            whole = new[: new.rfind(b"\n") + 1]
            lines = [line for line in whole.decode("utf-8", "replace").splitlines() if line.strip()]
            self._at[name] = at + len(whole)
            for line in lines[:_MOST_LINES]:
                if not line.startswith(_SERVERS_OWN):
                    self._progress(name, line, None)
                if BLOCKS in line:
                    self._blocking[name] = line
            if len(lines) > _MOST_LINES or size - at > _MOST_BYTES:
                self._at[name] = size
                self._progress(name, f"prints more than is passed on: all of it is in {log}", None)
        elif at is None or not tell or size < at:
            self._at[name] = size
        if size > _MOST_KEPT:
            self._begin_anew(name, log)

    def _begin_anew(self, name: str, log: Path) -> None:
        """Its processes hold the file open, and write at its end: it is emptied, not moved."""
        former = log.with_suffix(".former.log")
        try:
            shutil.copyfile(log, former)
            held = f"what it held is in {former}"
        except OSError as error:  # a full disk
            held = f"what it held could not be kept: {error}"
        os.truncate(log, 0)
        self._at[name] = 0
        self._progress(name, f"its log passed {_MOST_KEPT >> 20} MiB and begins anew; {held}", None)
