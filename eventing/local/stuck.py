"""A process that answers nothing any more: found out by its liveness probe, made to say where it is, and ended."""

from __future__ import annotations

import asyncio
import contextlib
import re
import signal

import aiohttp

from eventing.local import processes
from eventing.local.instance import Instance

_PROBE = aiohttp.ClientTimeout(total=2)
_FRAME = re.compile(r'File "[^"]*?((?:functions|schemas)/[^"]+\.py)", line (\d+)')


async def ended(instance: Instance, http: aiohttp.ClientSession) -> str | None:
    """End a process that does not answer its liveness probe; the line where it was, or None for one that answers."""
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with http.get(f"{instance.url}/health/liveness", timeout=_PROBE):
            return None
    log = processes.log_of(instance.record.state, instance.function)
    size = log.stat().st_size
    instance.process.send_signal(signal.SIGABRT)  # PYTHONFAULTHANDLER makes it write its stack
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(instance.process.wait(), 2)
    with log.open("rb") as content:
        content.seek(size)
        frames = _FRAME.findall(content.read().decode("utf-8", "replace"))
    own = next((f"{file}:{line}" for file, line in frames if file != "functions/main.py"), "a place that it did not tell")
    return f"it blocked its process at {own}"
