"""`torpor ps`: how each agent fares, what is tried again, and what died."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import click

from eventing.cli import platform
from eventing.cli.asking import counted, say
from eventing.cli.errors import CommandError
from eventing.errors import EventingError
from eventing.harmless import plain
from eventing.local.config import Config


def ps(config: Config, as_json: bool) -> None:
    """Print how each agent fares, what is tried again, and the dead letters that wait."""
    found = platform.status(config)
    if as_json:
        say(json.dumps(found, indent=2))
        return
    ever = found["dead_letters"]
    letters = _letters(found["store"]) if ever else "dead letters unknown" if ever is None else "no dead letter waits"
    for problem in found["problems"]:
        say(click.style(problem, fg="red"))
    say(f"{table(found)}; {letters}")


def _letters(store: str) -> str:
    """How many dead letters wait, as the platform's store tells: whoever looks wakes nobody."""
    from eventing.deadletters import DeadLetters
    from eventing.store import Store

    try:
        places = asyncio.run(DeadLetters(Store.open(store)).places())
    except EventingError:
        return "dead letters that the store does not tell of now"
    waiting = sum(not place.sent for place in places)
    return {0: "no dead letter waits", 1: "1 dead letter waits"}.get(waiting, f"{waiting} dead letters wait")


def table(found: dict[str, Any]) -> str:
    """The status as a table: one line an agent, then what waits, what is tried again and what died."""
    waiting = sum(one["lag"] or 0 for one in found["deliveries"].values())
    rows = [("agent", "state", "processes", "in flight", "wakes", "last wake")]
    for name, one in sorted(found["functions"].items()):
        wake = f"{one['cold_start_s']:.2f} s" if one["cold_start_s"] else "-"
        rows.append((name, one["state"], str(one["instances"]), str(one["in_flight"]), str(one["wakes"]), wake))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines += [plain(one["blocking"]) for _, one in sorted(found["functions"].items()) if one["blocking"]]
    for name, one in sorted(found["deliveries"].items()):
        if one["lag"] or one["retrying"] or one["dead_lettered"] or one["dropped"] or one["not_events"]:
            lines.append(
                f"{name}: {one['lag'] or 0} waiting, {one['retrying']} of them tried again now, "
                f"{one['dead_lettered']} dead-lettered, {one['dropped'] + one['not_events']} dropped"
            )
            if one["failing"]:
                lines.append(f"  {plain(one['failing'])}")
    left = sum(one["instances"] for one in found["functions"].values())
    lines.append(f"{counted(left, 'agent process', 'agent processes')}; {counted(waiting, 'event')} waiting")
    if untold := sum(one["lag"] is None for one in found["deliveries"].values()):
        lines[-1] += f", not counting {counted(untold, 'delivery', 'deliveries')} of which Kafka does not tell now"
    return "\n".join(lines)


def retrying(config: Config) -> str:
    """Which deliveries failed and are tried again now; empty where none is, or the platform is not here to tell."""
    try:
        found = {name: one["retrying"] for name, one in platform.status(config)["deliveries"].items() if one["retrying"]}
    except CommandError:
        return ""
    each = ", ".join(f"{name.partition('/')[2]} {count}" for name, count in found.items())
    total = sum(found.values())
    return f"{counted(total, 'failed delivery', 'failed deliveries')} tried again now ({each})" if total else ""
