"""`torpor dead`: what nobody could handle, and what was paid for it already."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import click

from eventing.cli import gateway
from eventing.cli.asking import counted, say
from eventing.harmless import plain

Letter = dict[str, Any]


def letters(url: str, agent: str | None = None, request: UUID | None = None, sent: bool = False) -> Iterator[Letter]:
    """The dead letters that the gateway tells of, the oldest first; a page is asked for when it is needed."""
    given = {"agent": agent, "request": request, "sent": "true" if sent else None}
    asked = {name: str(value) for name, value in given.items() if value}
    while True:
        page = json.loads(gateway.call("GET", f"{url}/dead{'?' if asked else ''}{urlencode(asked)}"))
        yield from page["letters"]
        if page["next"] is None:
            return
        asked["after"] = page["next"]


def show(url: str, agent: str | None, request: UUID | None, sent: bool, as_json: bool) -> None:
    """Show the dead letters as they come."""
    waiting, shown = Counter[str](), 0
    for letter in letters(url, agent, request, sent):
        say(json.dumps(letter) if as_json else f"{told(letter)}\n")
        shown += 1
        if not letter["redriven"]:
            waiting[plain(letter["agent"] or "an unknown agent")] += 1
    if as_json:
        return
    if not shown:
        of = "".join(f" of {what} {plain(str(which))}" for what, which in (("agent", agent), ("request", request)) if which)
        say(f"no dead letter{'' if sent else ' waits'}{of}")
    elif waiting:
        each = ", ".join(f"{name} {count}" for name, count in waiting.most_common())
        wait = "1 waits" if waiting.total() == 1 else f"{waiting.total()} wait"
        say(f"{wait} ({each}). Once the cause is mended: torpor redrive REQUEST_ID, or torpor redrive --all")


def told(letter: Letter) -> str:
    """One letter, for people."""
    request = f"request {letter['request_id']}" if letter["request_id"] else "of no known request"
    place = f", part {letter['part']}" if letter["part"] is not None else ""
    place += f", revision {letter['revision']}" if letter["revision"] else ""
    place += f", edition {letter['edition']}" if letter["edition"] else ""
    step = f" in step {plain(letter['step'])}" if letter["step"] else ""
    code = f"status {letter['code']}" if letter["code"] is not None else "no answer"
    error = f", {plain(letter['error'])}" if letter["error"] else ""
    times = "once" if letter["attempts"] == 1 else f"{letter['attempts']} times"
    sent = [f"  now    sent again ({plain(letter['redriven'])})"] if letter["redriven"] else []
    return "\n".join(
        [
            click.style(request, bold=True),
            f"  {plain(letter['agent'] or 'an unknown agent')} could not handle {plain(letter['event'])}{place}{step}",
            f"  why    {plain(letter['reason'])} ({code}{error})",
            f"  since  {clock(letter['since'])}, tried {times}",
            f"  paid   {_paid(letter)}",
            *sent,
        ]
    )


def _paid(letter: Letter) -> str:
    """What the request cost so far."""
    cost = f" ({letter['cost']:.6f} {plain(letter['currency'])})" if letter["currency"] else ""
    calls = f"{counted(letter['calls'], 'model call')} of the failed step"
    parts = [f"{counted(letter['steps'], 'step')} with {letter['tokens']} tokens{cost}"] * bool(letter["steps"])
    parts += [calls] * bool(letter["calls"])
    return f"{' and '.join(parts)}: not paid for again" if parts else "nothing yet"


def clock(moment: str) -> str:
    """A moment in this machine's time zone."""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")
