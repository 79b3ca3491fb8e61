"""Importing a module of a project, whatever it does: each import is announced before it begins, and has a time limit."""

from __future__ import annotations

import importlib
import json
import os
import sys
import threading
from dataclasses import dataclass, field
from textwrap import shorten
from types import ModuleType
from typing import Any, TextIO

from eventing import places
from eventing.checking.problem import Problem, at, parsed
from eventing.errors import WorkflowError


@dataclass
class Importer:
    """Imports modules one after the other; `out` is read by whoever waits for this process."""

    out: TextIO
    limit_s: float
    problems: list[Problem] = field(default_factory=list)

    def take(self, name: str, file: str) -> ModuleType | None:
        """The module, or None after noting why there is none."""
        self.say(importing=file)
        watch = threading.Timer(self.limit_s, self._slow, [name, file, threading.get_ident()])
        watch.daemon = True
        watch.start()
        try:
            return importlib.import_module(name)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self.problems.append(_told(file, error))
            return None
        finally:
            watch.cancel()

    def say(self, **what: Any) -> None:
        self.out.write(json.dumps(what) + "\n")
        self.out.flush()

    def _slow(self, name: str, file: str, thread: int) -> None:
        where = places.of_frame(sys._current_frames().get(thread)) or f"{file}:1"
        what = f"importing it takes longer than {self.limit_s:g} s: work belongs into `handle`, not beside it"
        self.problems.append(at(where, what))
        self.say(problems=[(p.file, p.line, p.what) for p in self.problems])
        os._exit(1)


def _told(file: str, error: BaseException) -> Problem:
    where = places.of_error(error)
    if not places.is_own(where.rpartition(":")[0]):
        where = f"{file}:1"
    if isinstance(error, SyntaxError):
        return at(where, f"is no Python: {error.msg}")
    if isinstance(error, ModuleNotFoundError):
        return at(where, f"imports {error.name}, which is not there: install it, or mend the name")
    if isinstance(error, SystemExit):
        return at(where, "ends the process when it is imported: remove that")
    if isinstance(error, WorkflowError):  # it names the place itself
        return parsed(str(error))
    return at(where, shorten(f"{type(error).__name__} when it is imported: {error}", 500, placeholder=" ..."))
