"""A request's events as a table: what came when, from whom, caused by what."""

from __future__ import annotations

from datetime import datetime
from typing import Any


def clock(event: dict[str, Any], width: int = 8) -> str:
    """An event's local time of day; it need not have one, and a foreign one need not be right."""
    try:
        return datetime.fromisoformat(event["time"]).astimezone().strftime("%H:%M:%S.%f")[:width]
    except (KeyError, ValueError):
        return "-".ljust(width)


def table(events: list[dict[str, Any]]) -> str:
    """One line an event; ids are shortened to what tells them apart, `--json` has them whole."""
    rows = [("time", "event", "part", "from", "id", "cause", "took")]
    for event in events:
        dead = " (dead letter)" if event.get("knativeerrorcode") else ""
        part = f"{event.get('part', '-')}.{event.get('revision', '0')}" if event.get("part") else "-"
        took = f"{int(event['durationms']) / 1000:.1f} s" if "durationms" in event else ""
        row = (
            clock(event, 12),
            event["type"] + dead,
            part,
            event["source"],
            event["id"][:8],
            event.get("cause", "-")[:8],
            took,
        )
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)
