"""The time before every line: what a platform in the background says goes to its log, where the moment matters."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, TextIO

_STAMP = re.compile(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ")


class Stamped:
    """A text stream that puts the time before each line that is written to it."""

    def __init__(self, stream: TextIO, clock: Callable[[], datetime] = datetime.now) -> None:
        self._stream, self._clock = stream, clock
        self._begun: list[str] = []  # of a line that is written in pieces
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, rest = text.split("\n")
            for line in lines:
                moment = self._clock().isoformat(sep=" ", timespec="milliseconds")
                self._stream.write(f"{moment} {''.join(self._begun)}{line}\n")
                self._begun.clear()
            if rest:
                self._begun.append(rest)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def stamp() -> None:
    """Put the time before every line of this process's output from now on."""
    sys.stdout, sys.stderr = Stamped(sys.stdout), Stamped(sys.stderr)


def unstamped(line: str) -> str:
    """A line without its time."""
    return _STAMP.sub("", line)
