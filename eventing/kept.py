"""What was parsed and found sound before, kept beside its file as Python keeps its bytecode, for agents that wake."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FORM = "1"  # of what is kept; a change of what is checked is a new one


@dataclass(frozen=True)
class Kept:
    """The parsed content of one state of a file."""

    path: Path

    @classmethod
    def of(cls, file: Path, *says: str) -> Kept:
        """The place of what `file` comes to, when its text and all else that matters are `says`."""
        digest = hashlib.sha256("\n".join((FORM, *says)).encode()).hexdigest()
        return cls(file.parent / "__pycache__" / f"{file.name}.{digest[:24]}.json")

    def read(self) -> Any:
        """The content, or None where it was not kept."""
        try:
            return json.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return None

    def write(self, content: Any) -> None:
        """Keep the content, where that is possible."""
        new = self.path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError, TypeError, ValueError):
            self.path.parent.mkdir(exist_ok=True)
            new.write_text(json.dumps(content))
            _remove(self.path.parent.glob(f"{self.path.name.rsplit('.', 2)[0]}.*.json"))
            new.replace(self.path)


def _remove(old: Iterable[Path]) -> None:
    for file in old:
        file.unlink(missing_ok=True)
