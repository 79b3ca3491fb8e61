"""By what something was made: a digest of an agent's own code, with the rules and prompts that stand in it."""

from __future__ import annotations

import hashlib
from functools import cache
from pathlib import Path


@cache
def digest(file: str) -> str:
    """SHA-256 over the Python files of the folder that a file lies in, by their names, first 16 digits."""
    total = hashlib.sha256()
    folder = Path(file).parent
    for path in sorted(folder.rglob("*.py"), key=lambda path: path.relative_to(folder).as_posix()):
        total.update(f"{path.relative_to(folder).as_posix()}\0".encode() + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return total.hexdigest()[:16]
