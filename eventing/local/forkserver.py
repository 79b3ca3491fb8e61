"""Processes of functions, forked from one that has loaded what each of them needs (`eventing.local.forking`).

Python, uvicorn, functions-framework and this package are most of what a function's process loads. Forked, it has them at
once, and shares their memory with the others. The process from which all are forked begins with the first of them and ends
with the last, so that nothing runs while all functions sleep.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

LIMIT_S = 60.0


class Process:
    """A function's process: a child of the process that forked it, which tells how it ended."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait(self) -> int:
        """The code with which it ended, once it has; minus a signal's number where that ended it."""
        return await asyncio.shield(self._code)

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL to it, and to all in its session, those that it left behind included."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self.send_signal(signal.SIGKILL)  # one that was just forked leads no session yet

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to it alone, unless it has ended."""
        if not self._code.done():
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self, code: int) -> None:
        self._code.set_result(code)


class ForkServer:
    """Where processes come from.

    Args:
        cwd: the folder in which they run.
        log: where the process from which they are forked writes what goes wrong.
        environ: its environment; each process gets one of its own.
    """

    def __init__(self, cwd: Path, log: Path, environ: Mapping[str, str]) -> None:
        self._cwd, self._log, self._environ = cwd, log, environ
        self._stem: _Stem | None = None
        self._stems: set[asyncio.Task[None]] = set()
        self._growing = asyncio.Lock()

    async def fork(self, port: int, log: Path, environ: Mapping[str, str]) -> Process:
        """A process that begins to serve at the port.

        Raises:
            OSError: when none can be had; the message says why.
        """
        async with self._growing:
            if self._stem is None or self._stem.closing:
                self._stem = await _Stem.begun(self._cwd, self._log, self._environ)
                following = asyncio.ensure_future(self._stem.follow())
                self._stems.add(following)
                following.add_done_callback(self._stems.discard)
            stem = self._stem
            forked = stem.fork(port, log, environ)
        try:
            return await asyncio.wait_for(forked, LIMIT_S)
        except TimeoutError:
            stem.kill()
            raise OSError(f"no process was forked within {LIMIT_S:.0f} s; see {self._log}") from None

    def renew(self) -> None:
        """Fork what comes next from a process that loads everything anew."""
        self._stem = None

    async def close(self) -> None:
        """Wait until it has ended; every process has to have ended before."""
        await asyncio.gather(*self._stems)


class _Stem:
    """The process from which others are forked."""

    def __init__(self, process: asyncio.subprocess.Process, lifeline: int) -> None:
        self._process, self._lifeline = process, lifeline
        self._asked: deque[asyncio.Future[Process]] = deque()
        self._forked: dict[int, Process] = {}
        self.closing = False

    @classmethod
    async def begun(cls, cwd: Path, log: Path, environ: Mapping[str, str]) -> _Stem:
        theirs, ours = os.pipe()
        log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with log.open("ab") as out:
                process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-m", "eventing.local.forking", str(theirs)),
                    cwd=cwd,
                    env=dict(environ),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                    stderr=out,
                    pass_fds=[theirs],
                    start_new_session=True,
                )
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, ours)

    def fork(self, port: int, log: Path, environ: Mapping[str, str]) -> asyncio.Future[Process]:
        asked: asyncio.Future[Process] = asyncio.get_running_loop().create_future()
        self._asked.append(asked)
        line = json.dumps({"port": port, "log": str(log), "environ": dict(environ)})
        assert self._process.stdin is not None
        self._process.stdin.write(line.encode() + b"\n")
        return asked

    def kill(self) -> None:
        """End it at once, and with it whatever it forked."""
        self.closing = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def follow(self) -> None:
        """Take in what it tells, until it has ended."""
        assert self._process.stdout is not None
        try:
            async for line in self._process.stdout:
                if line.startswith(b"{"):  # whatever Python's start may have printed is none of its own
                    self._told(json.loads(line))
                self.close_unused()
        finally:
            self._lost()
            os.close(self._lifeline)
        await self._process.wait()

    def _told(self, said: dict[str, int]) -> None:
        if "code" in said:
            self._forked.pop(said["pid"]).ended(said["code"])
            return
        asked = self._asked.popleft()
        if "error" in said:
            if not asked.done():
                asked.set_exception(OSError(said["error"]))
            return
        process = self._forked[said["pid"]] = Process(said["pid"])
        if asked.done():  # nobody waits for it any more
            process.kill()
        else:
            asked.set_result(process)

    def close_unused(self) -> None:
        """End it, unless something that it forked is left, or to come."""
        if not self.closing and not self._forked and not self._asked:
            self.closing = True
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _lost(self) -> None:
        """It ended; whoever was its child is nobody's, and nobody would learn of its end."""
        self.closing = True
        for asked in self._asked:
            if not asked.done():
                asked.set_exception(OSError("the process from which functions are forked ended"))
        for process in self._forked.values():
            process.kill()
            process.ended(-signal.SIGKILL)
