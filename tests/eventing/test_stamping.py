"""What a platform in the background says has the time before it, and is told without it."""

from __future__ import annotations

import io
from datetime import datetime

from eventing.cli.stamping import Stamped, unstamped

MOMENT = datetime(2026, 11, 25, 13, 5, 7, 250_000)


def test_each_line_gets_the_time_once_however_it_is_written() -> None:
    kept = io.StringIO()
    stream = Stamped(kept, lambda: MOMENT)
    for piece in ("  kafka     star", "ting\n", "\n", "a traceback:\n  of two lines\n"):
        stream.write(piece)
    lines = kept.getvalue().splitlines()
    assert lines[0] == "2026-11-25 13:05:07.250   kafka     starting"
    assert [unstamped(line) for line in lines] == ["  kafka     starting", "", "a traceback:", "  of two lines"]


def test_a_line_without_a_time_is_told_as_it_is() -> None:
    assert [unstamped(line) for line in ("  platform  ready", "", "3 agents sleep here")] == [
        "  platform  ready",
        "",
        "3 agents sleep here",
    ]
