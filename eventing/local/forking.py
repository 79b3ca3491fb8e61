"""`python -m eventing.local.forking LIFELINE`: forks functions' processes from one that has loaded what all of them need.

A line of JSON on standard input asks for one: its `port`, `log` and `environ`. Lines on standard output answer in the order
of the asking, with its `pid`, or the `error` for which there is none; and tell of each that ended, whenever it does: `pid`,
`code`.

It ends with its standard input. The processes do not: theirs is the lifeline, a pipe that ends when the platform does.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import selectors
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventing.local import served

LOADED = (
    "uvicorn.lifespan.on",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto",
    "urllib3",
    "functions_framework.aio",
    "eventing.function",
    "eventing.runtime",
)


def main(lifeline: int) -> None:
    """Fork until standard input ends; in each process that is forked, serve."""
    told = os.dup(1)
    os.dup2(2, 1)  # what is printed while modules are loaded is no answer
    gc.disable()
    for name in LOADED:
        with contextlib.suppress(Exception):  # whoever needs it says in its own log what is wrong with it
            importlib.import_module(name)
    gc.enable()
    gc.freeze()  # so that no collection touches, and thereby copies, what all processes share
    asked = _forked(told)
    if asked is not None:
        _serve(asked, lifeline)


def _forked(told: int) -> dict[str, Any] | None:
    """What a process that was just forked has to serve; None in the first one, at its end."""
    ended, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    pending = b""
    with selectors.DefaultSelector() as ready:
        ready.register(0, selectors.EVENT_READ)
        ready.register(ended, selectors.EVENT_READ)
        while True:
            if any(key.fd == ended for key, _ in ready.select()):
                os.read(ended, 4096)
                _tell_ends(told)
                continue
            if not (read := os.read(0, 65536)):
                return None
            *lines, pending = (pending + read).split(b"\n")
            for line in lines:
                if _fork(told) == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for fd in (ended, wake, told):
                        os.close(fd)
                    asked: dict[str, Any] = json.loads(line)
                    return asked


def _fork(told: int) -> int | None:
    """As `os.fork`; the first process tells what came of it, None where nothing did."""
    try:
        pid = os.fork()
    except OSError as error:
        _tell(told, error=str(error))
        return None
    if pid:
        _tell(told, pid=pid)
    return pid


def _tell_ends(told: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _tell(told, pid=found[0], code=os.waitstatus_to_exitcode(found[1]))


def _tell(told: int, **said: int | str) -> None:
    os.write(told, json.dumps(said).encode() + b"\n")


def _serve(asked: dict[str, Any], lifeline: int) -> None:
    os.setsid()
    log = os.open(asked["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    for fd, end in ((lifeline, 0), (log, 1), (log, 2)):
        os.dup2(fd, end)
    os.close(lifeline)
    os.close(log)
    loaded = _interpreters(os.environ)
    os.environ.clear()
    os.environ.update(asked["environ"])
    if _interpreters(os.environ) != loaded:
        command = served.command(asked["port"])
        os.execv(command[0], command)  # noqa: S606 (this very interpreter, with what it reads at its start alone)
    with contextlib.suppress(OSError):  # only Linux lets a process choose the name that `top` and `ps` show
        Path("/proc/self/comm").write_text(os.environ.get("K_SERVICE", "function")[:15])
    served.main(asked["port"])


def _interpreters(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environ.items() if name.startswith("PYTHON")}


if __name__ == "__main__":
    main(int(sys.argv[1]))
