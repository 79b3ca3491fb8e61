"""`torpor dead` and `torpor redrive`: what nobody could handle, and sending it on."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import click

from eventing.cli import gateway
from eventing.cli.asking import say
from eventing.cli.errors import CommandError
from eventing.harmless import plain

Letter = dict[str, Any]


def letters(url: str, agent: str | None, request: str | None) -> list[Letter]:
    """The dead letters that the gateway tells of."""
    asked = urlencode({name: value for name, value in (("agent", agent), ("request", request)) if value})
    found: list[Letter] = json.loads(gateway.call("GET", f"{url}/dead{'?' if asked else ''}{asked}"))
    return found


def show(url: str, agent: str | None, request: str | None, as_json: bool) -> None:
    """Show the dead letters."""
    found = letters(url, agent, request)
    if as_json:
        say(json.dumps(found))
        return
    if not found:
        say("no dead letters" + "".join(f" of {what} {which}" for what, which in _filters(agent, request)))
        return
    say("\n\n".join(told(letter) for letter in found))
    waiting = sum(not letter["redriven"] for letter in found)
    if waiting:
        say(f"\n{waiting} of {len(found)} wait; once the cause is mended: torpor redrive REQUEST, or torpor redrive --all")


def told(letter: Letter) -> str:
    """One letter, for people."""
    request = letter["request_id"] or "of no known request"
    place = f", part {letter['part']}" if letter["part"] is not None else ""
    place += f", revision {letter['revision']}" if letter["revision"] else ""
    place += f", edition {letter['edition']}" if letter["edition"] else ""
    code = f"status {letter['code']}" if letter["code"] is not None else "no answer"
    error = f", {plain(letter['error'])}" if letter["error"] else ""
    times = "once" if letter["attempts"] == 1 else f"{letter['attempts']} times"
    sent = f"sent again ({plain(letter['redriven'])})" if letter["redriven"] else "waits"
    return "\n".join(
        [
            click.style(f"request {request}", bold=True),
            f"  {plain(letter['agent'] or 'an unknown agent')} could not handle {plain(letter['event'])}{place}",
            f"  why    {plain(letter['reason'])} ({code}{error})",
            f"  since  {_clock(letter['since'])}, tried {times}",
            f"  paid   {_paid(letter)}",
            f"  now    {sent}",
        ]
    )


def _paid(letter: Letter) -> str:
    cost = f" ({letter['cost']:.6f} {plain(letter['currency'])})" if letter["currency"] else ""
    calls = f", and {letter['calls']} answered model calls of this step" if letter["calls"] else ""
    return f"{letter['steps']} steps, {letter['tokens']} tokens{cost}{calls}: none is paid for again"


def _clock(moment: str) -> str:
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _filters(agent: str | None, request: str | None) -> list[tuple[str, str]]:
    return [(what, str(which)) for what, which in (("agent", agent), ("request", request)) if which]


def redrive(url: str, request: str | None, agent: str | None, every: bool, yes: bool) -> None:
    """Send one request on, or all whose dead letters wait.

    Raises:
        click.UsageError: not exactly one of them is asked for.
        CommandError: a request could not be sent on.
    """
    if (request is not None) + every + (agent is not None) != 1:
        raise click.UsageError("name a request, or --all, or --agent A")
    if request is not None:
        say(done(redriven(url, request)))
        return
    waiting = [letter for letter in letters(url, agent, None) if not letter["redriven"]]
    requests = list(dict.fromkeys(letter["request_id"] for letter in waiting if letter["request_id"]))
    foreign = sum(letter["request_id"] is None for letter in waiting)
    if foreign:
        say(f"{foreign} dead letters belong to no known request and are left: whoever sent them has to mend and send them")
    if not requests:
        say("no dead letter waits" + (f" of agent {agent}" if agent else ""))
        return
    if every and not yes and _asks():
        click.confirm(f"send {len(requests)} requests on from where they failed?", abort=True)
    _each(url, requests)


def _asks() -> bool:
    """Whether somebody is there who can be asked."""
    return sys.stdin.isatty()


def _each(url: str, requests: list[str]) -> None:
    failed = 0
    for request in requests:
        try:
            say(done(redriven(url, request)))
        except CommandError as error:
            failed += 1
            say(click.style(f"request {request}: {error.format_message()}", fg="red"))
    if failed:
        raise CommandError(f"{failed} of {len(requests)} requests could not be sent on")


def redriven(url: str, request: str) -> dict[str, Any]:
    """Have the gateway send a request on; what it sent."""
    found: dict[str, Any] = json.loads(gateway.call("POST", f"{url}/research/{request}/redrive"))
    return found


def done(told: dict[str, Any]) -> str:
    """What was sent again, for people."""
    parts = ", ".join(map(str, told["parts"]))
    how = f"goes on as edition {told['edition']}" if told["opened"] else "goes on"
    anew = f"; part {parts} is done anew" if parts else ""
    until = f", until {_clock(told['deadline'])}" if told["deadline"] else ""
    lines = [f"request {told['request_id']} {how}{anew}{until}"]
    for event in told["sent"]:
        part = f", part {event['part']}" if event["part"] is not None else ""
        lines.append(f"  {plain(event['event'])}{part} to {plain(event['agent'] or 'whoever takes it')}")
    return "\n".join(lines)
