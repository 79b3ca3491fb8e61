"""A disk that is full, for one process: the system refuses to let any file of it grow. On Linux alone.

It is the limit on the size of files (`RLIMIT_FSIZE`), set from outside to nothing and back. Folders, links and empty files
can still be made, as on many a disk that is full.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path

import psutil

from eventing.local import processes

POSSIBLE = hasattr(psutil, "RLIMIT_FSIZE")
_LOOK_S = 0.1


async def full(state: Path, name: str, lasts: float) -> bool:
    """The disk of a service is full for so many seconds, also for one that is started anew; whether any was there."""
    end, struck = time.monotonic() + lasts, set[int]()
    try:
        while time.monotonic() < end:
            found = processes.find(state, name)
            if found is not None and found.pid not in struck and _limit(found, 0):
                struck.add(found.pid)
            await asyncio.sleep(_LOOK_S)
    finally:
        found = processes.find(state, name)
        if found is not None and found.pid in struck:
            _limit(found, None)
    return bool(struck)


def _limit(service: processes.Service, size: int | None) -> bool:
    process = service.process
    with contextlib.suppress(psutil.Error, OSError):
        if process is not None:
            most = process.rlimit(psutil.RLIMIT_FSIZE)[1]
            process.rlimit(psutil.RLIMIT_FSIZE, (most if size is None else size, most))
            return True
    return False
