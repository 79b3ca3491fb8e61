"""Where the time of a hop goes: both processes of a hop write down when what happened to which event.

The notes are taken by wrapping the product's own functions, only in a run that is made for this table.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

STAGES = (
    "consume", "deliver", "parse, validate", "look-ups", "run", "store answers", "publish", "mark", "answer",
)  # fmt: skip


class _Notes:
    def __init__(self, path: Path) -> None:
        self._file = path.open("a", buffering=1)

    def __call__(self, what: str, about: str = "") -> None:
        self._file.write(json.dumps([time.perf_counter(), what, about]) + "\n")


def _around(owner: Any, name: str, note: Callable[..., None], label: Callable[..., tuple[str, str]]) -> None:
    original = getattr(owner, name)

    @functools.wraps(original)
    async def wrapped(*arguments: Any, **named: Any) -> Any:
        what, about = label(*arguments, **named)
        note(f"{what} >", about)
        try:
            return await original(*arguments, **named)
        finally:
            note(f"{what} <", about)

    setattr(owner, name, wrapped)


def in_function(folder: str) -> None:
    """Note what a function process does."""
    import os

    from eventing.adapter import Adapter
    from eventing.agent import Agent
    from eventing.publishing import Publisher
    from eventing.step import Steps
    from eventing.store import Store

    note = _Notes(Path(folder) / f"function-{os.getpid()}.jsonl")
    _around(Adapter, "take", note, lambda self, event, *_: ("take", event.id))
    _around(Steps, "perform", note, lambda *_: ("perform", ""))
    _around(Agent, "__call__", note, lambda *_: ("run", ""))
    _around(Publisher, "publish", note, lambda self, event: ("publish", event.id))
    _around(Store, "get", note, lambda self, key: ("get", key))
    _around(Store, "create", note, lambda self, key, *_: ("create", key))
    _around(Store, "mark", note, lambda self, key, *_: ("create", key))


def in_platform(folder: str) -> None:
    """Note what the platform's process does."""
    from eventing.local.delivery import Courier
    from eventing.local.sinks import Sinks

    note = _Notes(Path(folder) / "platform.jsonl")
    _around(Courier, "deliver", note, lambda self, event, *_: ("deliver", event.id))
    _around(Sinks, "send", note, lambda self, sink, event, *_: ("send", event.id))


Taken = list[tuple[float, str, str]]


def table(folder: Path, seen: dict[str, float]) -> dict[str, float]:
    """Milliseconds of each stage, the median over all hops; `seen` is when an observer saw each event in its topic.

    Only one event may have been under way at a time.
    """
    platform = _read(folder / "platform.jsonl")
    taken: dict[str, Taken] = {}
    for file in folder.glob("function-*.jsonl"):
        current: Taken = []
        for at, what, about in _read(file):
            if what == "take >":
                current = taken[about] = []
            current.append((at, what, about))
    sent = {(what, about): at for at, what, about in platform}
    rows = [_stages(event, notes, sent, seen) for event, notes in taken.items() if event in seen and _whole(notes)]
    return {stage: round(median(row[stage] for row in rows) * 1000, 3) for stage in STAGES} if rows else {}


def _whole(notes: Taken) -> bool:
    return any(what == "publish <" for _, what, _ in notes) and notes[-1][1] == "take <"


def _stages(event: str, notes: Taken, sent: dict[tuple[str, str], float], seen: dict[str, float]) -> dict[str, float]:
    at: dict[str, float] = {}
    for when, what, about in notes:
        name = what
        if what.startswith("create"):
            name = f"{'mark' if about.endswith('published.json') else 'put'} {what[-1]}"
        at.setdefault(name, when)
        if what in ("publish <",):
            at[name] = when
    delivered = sent["deliver <", event]
    return {
        "consume": max(0.0, sent["deliver >", event] - seen[event]),
        "deliver": at["take >"] - sent["deliver >", event],
        "parse, validate": at["perform >"] - at["take >"],
        "look-ups": at["run >"] - at["perform >"],
        "run": at["run <"] - at["run >"],
        "store answers": at["publish >"] - at["run <"],
        "publish": at["publish <"] - at["publish >"],
        "mark": at["take <"] - at["publish <"],
        "answer": delivered - at["take <"],
    }


def _read(path: Path) -> Taken:
    return [(at, what, about) for at, what, about in map(json.loads, path.read_text().splitlines())] if path.exists() else []
