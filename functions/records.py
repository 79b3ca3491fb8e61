"""The form of a report's record: which pieces a result has, and the digest of each, so that an altered one can be named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

FORM = 1  # counted up when a field is removed or changes its meaning

HEAD = "what the record says of itself"  # its request, the code that made it, the digests of the report's forms


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def digests(record: dict[str, Any]) -> dict[str, str]:
    """The digest of every piece of a record (as JSON), by its name."""
    head = {name: value for name, value in record.items() if name not in ("digests", "result")}
    pieces = ((HEAD, head), *_pieces(record["result"]))
    return {name: sha256(_canonical(piece)) for name, piece in pieces}


def _pieces(result: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    yield "request", {name: value for name, value in result.items() if name not in ("parts", "steps")}
    yield "steps", result.get("steps", [])
    for part in result.get("parts", []):
        at = f"part {part.get('part')}"
        lists = ("claims", "passages", "verdicts", "left_out")
        yield f"{at}, what it is", {name: value for name, value in part.items() if name not in lists}
        for what, name in zip(("statement", "passage", "verdict", "left out"), lists, strict=True):
            for number, piece in enumerate(part.get(name, []), 1):
                yield f"{at}, {what} {number}", piece


def _canonical(piece: Any) -> bytes:
    return json.dumps(piece, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
