"""Where in a project's own code something happened, told as `functions/writer/agent.py:7`."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

_ROOMS = ("functions", "schemas")
_BASE = os.path.join("schemas", "contract.py")


def place(file: str, line: int) -> str:
    """A file, seen from here, and a line."""
    near = os.path.relpath(file)
    return f"{file if near.startswith('..') else near}:{line}"


def is_own(file: str) -> bool:
    """Whether a file belongs to the agents or the contracts, and to no library."""
    folders = [os.path.realpath(path) for room in _ROOMS if room in sys.modules for path in sys.modules[room].__path__]
    here = os.path.realpath(".") + os.sep
    nearest = [folder for folder in folders if folder.startswith(here)] or folders  # a project's, before the package's
    real = os.path.realpath(file)
    return any(real.startswith(folder + os.sep) for folder in nearest) and not real.endswith(_BASE)


def of_function(function: Callable[..., Any]) -> str:
    """Where a function begins: its `def`, not its decorators."""
    code = function.__code__
    try:
        above = next((n for n, text in enumerate(inspect.getsourcelines(function)[0]) if "def " in text), 0)
    except OSError:
        above = 0
    return place(code.co_filename, code.co_firstlineno + above)


def of_error(error: BaseException) -> str:
    """The innermost own line that an error passed; where it passed none, the line that raised it."""
    if isinstance(error, SyntaxError) and error.filename and is_own(error.filename):
        return place(error.filename, error.lineno or 1)
    lines, step = [], error.__traceback__
    while step:
        lines.append((step.tb_frame.f_code.co_filename, step.tb_lineno))
        step = step.tb_next
    own = [one for one in lines if is_own(one[0])]
    return place(*(own or lines)[-1]) if lines else "unknown place"


def of_frame(frame: FrameType | None) -> str | None:
    """The innermost own line of a stack that runs."""
    while frame:
        if is_own(frame.f_code.co_filename):
            return place(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return None


def of_task(task: asyncio.Task[Any]) -> str | None:
    """The innermost own line at which a task waits."""
    found: str | None = None
    waiting: Any = task.get_coro()
    while (frame := getattr(waiting, "cr_frame", None)) is not None:
        if is_own(frame.f_code.co_filename):
            found = place(frame.f_code.co_filename, frame.f_lineno)
        waiting = waiting.cr_await
    return found
