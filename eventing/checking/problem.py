"""One thing that is wrong: where, what, and how to mend it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Problem:
    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


def parsed(text: str) -> Problem:
    """A problem from `FILE:LINE: what` or `FILE: what`."""
    found = re.fullmatch(r"(?s)(.+?\.\w+)(?::(\d+))?: (.*)", text)
    return Problem(near(found[1]), int(found[2] or 1), found[3]) if found else Problem("", 0, text)


def at(place: str, what: str) -> Problem:
    """A problem at a place as `eventing.places` tells it."""
    file, _, line = place.rpartition(":")
    return Problem(near(file), int(line), what) if line.isdigit() else Problem(place, 0, what)


def near(file: str) -> str:
    """A file as it is seen from here."""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else relative
