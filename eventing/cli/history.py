"""`torpor requests`: what the local platform was asked, the newest first, and what became of it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from uuid import UUID

import click

from eventing import kafka
from eventing.cli import dead, gateway, platform, project
from eventing.cli.asking import say
from eventing.cli.errors import CommandError, NotFoundError
from eventing.envelope import from_record
from eventing.errors import EventingError
from eventing.harmless import plain
from eventing.local.config import Config

_COLOURS = {"complete": "green", "failed": "red"}
_SHORT = 8  # characters of an id that tell requests apart, in all likelihood


@dataclass(frozen=True)
class Asked:
    """A request as it was opened: its id, when (RFC 3339), and its text."""

    request_id: str
    time: str
    text: str


def asked(config: Config) -> list[Asked]:
    """Every request of the local platform, the newest first.

    Raises:
        CommandError: when a gateway elsewhere is asked, which tells nobody what others asked.
        NotRunningError: when the platform does not run.
    """
    if project.elsewhere():
        raise CommandError(
            "TORPOR_URL names a gateway, and a gateway tells nobody which requests there are: name them by their whole ids"
        )
    platform.status(config)
    found: dict[str, Asked] = {}
    for record in kafka.read(config.bootstrap, [project.shown(config).opens]):
        if (one := _opened(record)) is not None:
            found.setdefault(one.request_id, one)  # what opens it anew, as an edition, comes later
    return list(reversed(found.values()))


def show(config: Config, most: int, as_json: bool) -> None:
    """Show the newest requests, and what became of each."""
    url, shown = project.gateway_url(config), 0
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    for one, state in islice(_states(url, asked(config)), most):
        shown += 1
        if as_json:
            say(json.dumps({**asdict(one), "status": state["status"], "reason": state["reason"], "link": state["link"]}))
            continue
        status = click.style(f"{state['status']:<8}", fg=_COLOURS.get(state["status"]))
        text = plain(one.text)
        line = f"{one.request_id[:_SHORT]}  {dead.clock(one.time)}  "
        room = width - len(line) - 10
        say(f"{line}{status}  {text if len(text) <= room else text[: room - 1] + '…'}")
    if not shown and not as_json:
        say('nothing was asked yet: torpor ask "..."')


def _states(url: str, requests: list[Asked]) -> Iterator[tuple[Asked, dict[str, Any]]]:
    for one in requests:
        try:
            yield one, json.loads(gateway.call("GET", f"{url}/requests/{one.request_id}"))
        except NotFoundError:
            continue  # a stranger's event of that type, which nobody took


def _opened(record: kafka.Record) -> Asked | None:
    """The request that a record opens; None for one that opens none."""
    try:
        event = from_record(record.headers, record.key, record.value)
        data = json.loads(event.data or b"")
        request_id = str(UUID(data["request_id"]))
    except (EventingError, ValueError, TypeError, KeyError, AttributeError):
        return None
    text = next((value for name, value in data.items() if name != "request_id" and isinstance(value, str)), "")
    return Asked(request_id, datetime.fromtimestamp(record.timestamp_ms / 1000, UTC).isoformat(), text)
