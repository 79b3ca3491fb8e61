"""How a model server fails on a call: what happened, whether it tells against the server, whether anything was bought.

UpstreamError
  UnreachedError       no connection
  BusyError            429
  UnavailableError     503
  MisconfiguredError   wrong key, URL or model
  BrokenError          5xx, or no completion
    LostError          the connection broke
    SilentError        nothing was said for too long
"""

from __future__ import annotations

from typing import ClassVar


class UpstreamError(Exception):
    """A server failed on a call. `counts`: it tells against the server; `bought`: tokens may have been generated."""

    counts: ClassVar[bool] = True
    bought: ClassVar[bool] = False
    after: float | None = None  # seconds until it is asked again


class UnreachedError(UpstreamError):
    """No connection: nothing was sent."""


class BusyError(UpstreamError):
    """It takes no call now (429), which is no fault of it."""

    counts = False

    def __init__(self, told: str, after: float) -> None:
        self.after = after
        super().__init__(told)


class UnavailableError(UpstreamError):
    """It takes no call (503): it is still loading, its queue is full, or it is about to end."""

    def __init__(self, told: str, after: float) -> None:
        self.after = after
        super().__init__(told)


class MisconfiguredError(UpstreamError):
    """It serves nobody as it is configured here: wrong key, wrong URL, unknown model."""


class BrokenError(UpstreamError):
    """It answered 5xx or no completion, broke off, or fell silent."""

    bought = True


class LostError(BrokenError):
    """The connection broke in the middle of a call: the server died, or something between.

    Asked again at once, a server that is dying may take the call, and break it once more.
    """

    after = 0.25


class SilentError(BrokenError):
    """It said nothing for too long."""
