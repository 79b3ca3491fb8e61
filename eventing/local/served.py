"""`python -m eventing.local.served PORT`: a function's process, which ends a while after the platform that started it.

Standard input is the platform's end of a pipe: it ends when the platform does, however it does. What is under way then may
still be stored; a platform that comes back meanwhile does not wait for it.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

GRACE_S = 60.0


def command(port: int) -> list[str]:
    """How such a process is started."""
    return [sys.executable, "-m", "eventing.local.served", str(port)]


def main(port: int, grace_s: float = GRACE_S) -> None:
    """Serve until SIGTERM."""
    import uvicorn

    threading.Thread(target=_outlive, args=(_taken(), grace_s), daemon=True).start()
    uvicorn.run("functions_framework.aio:app", host="127.0.0.1", port=port, access_log=False, timeout_graceful_shutdown=30)


def _taken() -> int:
    """The platform's pipe, which neither the function nor what it starts shall read."""
    pipe, nothing = os.dup(0), os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return pipe


def _outlive(pipe: int, grace_s: float) -> None:
    while os.read(pipe, 1024):
        pass
    time.sleep(grace_s)
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(float, sys.argv[2:]))
