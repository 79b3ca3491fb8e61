"""One pybreaker breaker a server: closed, open after so many failures in a row, half-open for exactly one probe.

All other calls wait for the probe, so it bears little silence: `patience_s`. That a server is slow must not keep it out for
ever, so each probe that fell silent lets the next one bear twice as much.

pybreaker's own guards know no asyncio (a half-open breaker lets every waiting coroutine through, and calls that were in
flight when it opened would open it again), so outcomes are told to it as they come, and admission asks `ready` first. Its
reset goes by the wall clock, which may be set back; here the monotonic one counts.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

import pybreaker

Changed = Callable[[str, str], None]  # server's name, new state: open, half-open, closed


class _Failure(Exception):
    """What a failed call is for pybreaker."""


class _Listener(pybreaker.CircuitBreakerListener):
    def __init__(self, server: str, changed: Changed) -> None:
        self._server, self._changed = server, changed

    def state_change(self, cb: object, old_state: object, new_state: pybreaker.CircuitBreakerState) -> None:
        self._changed(self._server, new_state.name)


class Breaker:
    """Whether a server may be asked now; fed with how each call to it ended."""

    def __init__(self, server: str, failures: int, reset_s: float, changed: Changed, probe_s: float = 5.0) -> None:
        self._breaker = pybreaker.CircuitBreaker(
            fail_max=failures,
            reset_timeout=reset_s,
            listeners=[_Listener(server, self._change)],
            name=server,
            throw_new_error_on_trip=False,
        )
        self._probing = False
        self._opened, self._changed = 0.0, changed
        self._probe_s = self.patience_s = probe_s

    def _change(self, server: str, to: str) -> None:
        if to == "open":
            self._opened = time.monotonic()
        if to == "closed":
            self.patience_s = self._probe_s
        self._changed(server, to)

    def expire(self) -> None:
        """Let an open breaker be probed now: its server is known to have come back."""
        self._opened = time.monotonic() - float(self._breaker.reset_timeout)

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return str(self._breaker.current_state)

    @property
    def ready(self) -> bool:
        """Whether one more call may go to the server."""
        return self.state == "closed" or (self._resets_in() <= 0 and not self._probing)

    def opens_in(self) -> float:
        """Seconds until a call may go to the server; 0 when one may now."""
        return 0.0 if self.state == "closed" else max(0.0, self._resets_in())

    def _resets_in(self) -> float:
        if self.state != "open":
            return 0.0
        return float(self._breaker.reset_timeout) - (time.monotonic() - self._opened)

    def enter(self) -> bool:
        """Begin a call; whether it is the probe of a half-open breaker."""
        if self.state == "closed":
            return False
        if self.state == "open":
            self._breaker.half_open()
        self._probing = True
        return True

    def leave(self, probe: bool, *, failed: bool | None, silent: bool = False) -> None:
        """A call ended: well, with a failure of the server (`silent`: it fell silent), or (None) telling nothing of it."""
        if probe:
            self._probing = False
            self.patience_s *= 2 if silent else 1
        if failed is None or self.state == "open" or (self.state == "half-open" and not probe):
            return  # of a half-open server only its probe counts

        def outcome() -> None:
            if failed:
                raise _Failure

        with contextlib.suppress(_Failure, pybreaker.CircuitBreakerError):
            self._breaker.call(outcome)
