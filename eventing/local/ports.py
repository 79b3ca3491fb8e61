"""Which TCP ports of this machine are taken, and by whom."""

from __future__ import annotations

import errno
import os
import socket
import time

import psutil

MEND = "stop that, or choose other ports in a row with TORPOR_PORT=18080"
_PATIENCE_S = 2.0


def free(port: int) -> bool:
    """Whether a service of ours could listen there, and nobody else would be reached in its place."""
    return _bindable(port) is None and not any(listens(port, host) for host in ("127.0.0.1", "::1"))


def conflict(port: int, what: str) -> str | None:
    """Why `what` cannot listen on the port, and what to do; None where it can."""
    end = time.monotonic() + _PATIENCE_S
    while not free(port):
        # A process that was killed a moment ago still holds its ports, and nobody can be named.
        if (holder := _holder(port)) or time.monotonic() > end:
            return _refusal(port, what, holder)
        time.sleep(0.05)
    return None


def _refusal(port: int, what: str, holder: str) -> str:
    refusal = _bindable(port)
    if refusal in (None, errno.EADDRINUSE):
        return f"port {port} ({what}) is taken by {holder or 'another program'}: {MEND}"
    return (
        f"port {port} ({what}) cannot be listened on: {os.strerror(refusal or 0)}; choose other ports with TORPOR_PORT=18080"
    )


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something takes connections there."""
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.settimeout(0.5)
            return probe.connect_ex((host, port)) == 0
    except OSError:  # no IPv6 here
        return False


def _bindable(port: int) -> int | None:
    """The error number of listening on the port; None where it can be done."""
    try:
        with socket.socket() as probe:
            # Connections that ended a moment ago must not count; a listener still does.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
    except OSError as error:
        return error.errno or errno.EADDRINUSE
    return None


def _holder(port: int) -> str:
    """Who listens there, where the system tells."""
    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr[1:2] == (port,) and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""


def unused(count: int) -> list[int]:
    """Ports that nobody listens on at this moment."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def row(count: int) -> int:
    """The first of so many unused ports in a row, below those that the system hands out for connections."""
    for first in range(18_000 + os.getpid() % 900 * 10, 32_000, 10):
        if all(_bindable(port) is None for port in range(first, first + count)):
            return first
    raise OSError(f"no {count} unused ports in a row")
