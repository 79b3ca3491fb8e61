"""`torpor redrive`: sending requests on from where they failed."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from typing import Any

import click

from eventing.cli import dead, gateway
from eventing.cli.asking import counted, say
from eventing.cli.errors import CommandError, NotRunningError
from eventing.harmless import plain


@dataclass(frozen=True)
class How:
    """Through which gateway; whether anything is sent; how it is told."""

    url: str
    dry_run: bool = False
    as_json: bool = False

    def send(self, request: str) -> None:
        """Send a request on, and tell what was sent.

        Raises:
            CommandError: it could not be sent on.
        """
        answer = gateway.call("GET" if self.dry_run else "POST", f"{self.url}/research/{request}/redrive")
        say(answer.decode().strip() if self.as_json else told(json.loads(answer), self.dry_run))

    def note(self, text: str) -> None:
        """Tell what is no result."""
        click.echo(text, err=self.as_json)


def every(how: How, agent: str | None, asked: bool) -> None:
    """Send on all requests of which letters wait, or those that an agent failed; nobody is `asked` again.

    Raises:
        CommandError: some could not be sent on.
    """
    waiting, foreign = dict[str, None](), 0
    for letter in dead.letters(how.url, agent):
        if letter["request_id"]:
            waiting[letter["request_id"]] = None
        else:
            foreign += 1
    if foreign:
        letters = "1 dead letter belongs" if foreign == 1 else f"{foreign} dead letters belong"
        how.note(f"{letters} to no known request and cannot be sent on: whoever sent such an event must mend and send it")
    if not waiting:
        how.note(f"no dead letter waits{f' of agent {plain(agent)}' if agent else ''} that can be sent on")
        return
    if not (asked or how.dry_run) and _somebody_there():
        click.confirm(f"send {counted(len(waiting), 'request')} on from where they failed?", abort=True, err=how.as_json)
    _each(how, list(waiting))


def _each(how: How, requests: list[str]) -> None:
    failed = 0
    for request in requests:
        try:
            how.send(request)
        except NotRunningError:
            raise
        except CommandError as error:
            failed += 1
            click.secho(f"request {request}: {error.format_message()}", fg="red", err=True)
    if failed:
        raise CommandError(f"{failed} of {counted(len(requests), 'request')} could not be sent on")


def _somebody_there() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def told(sent: dict[str, Any], dry_run: bool = False) -> str:
    """What was sent, for people."""
    goes = "would go on" if dry_run else "goes on"
    how = f"{goes} as edition {sent['edition']}" if sent["opened"] else goes
    parts = " and ".join(map(str, sent["parts"]))
    anew = f"; part{'s' * (len(sent['parts']) > 1)} {parts} anew" if parts else ""
    until = f", until {dead.clock(sent['deadline'])}" if sent["deadline"] else ""
    lines = [f"request {sent['request_id']} {how}{anew}{until}"]
    for event in sent["sent"]:
        part = f", part {event['part']}" if event["part"] is not None else ""
        lines.append(f"  {plain(event['event'])}{part} to {plain(event['agent'] or 'whoever takes it')}")
    return "\n".join(lines)
