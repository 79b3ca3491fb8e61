"""An event loop whose clock jumps to the next moment at which something happens: hours pass in moments, always alike."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable
from typing import Any


class StalledError(RuntimeError):
    """Everybody waits, and nothing will ever happen."""


class _Jump(selectors.SelectSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise StalledError("everybody waits, and nothing will ever happen")
        self.now += max(0.0, timeout)
        return []


class SimulatedLoop(asyncio.SelectorEventLoop):
    """`asyncio`'s own loop without waiting, threads or sockets. What is handed to a thread takes place `delay` later."""

    def __init__(self, delay: Callable[[], float] = float) -> None:
        self._jump, self._delay = _Jump(), delay
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.now

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> asyncio.Future[Any]:  # type: ignore[override]
        done = self.create_future()

        def run() -> None:
            if done.cancelled():
                return
            try:
                value = func(*args)
            except Exception as error:
                done.set_exception(error)
            else:
                done.set_result(value)

        self.call_later(self._delay(), run)
        return done
