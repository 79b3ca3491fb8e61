"""`torpor ask`: post a request and show what happens to it, line by line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from eventing.cli import gateway, opening
from eventing.cli.trails import clock
from eventing.harmless import plain

_VERDICTS = {
    "summary_ready": "claims written",
    "validation_passed": "every claim supported",
    "validation_failed": "claims sent back",
}


@dataclass
class Story:
    """What was seen of one request."""

    request_id: str
    state: dict[str, Any] = field(default_factory=dict)
    steps: int = 0
    tokens: int = 0
    wakes: int = 0
    reasons: set[str] = field(default_factory=set)  # that were told
    started: float = field(default_factory=time.monotonic)

    @property
    def complete(self) -> bool:
        return self.state.get("status") == "complete"

    @property
    def why(self) -> str:
        """Why it failed."""
        return plain(self.state.get("reason") or "no reason was given")


def post(url: str, topic: str, depth: int, email: str | None, sources: str | None, fresh: bool = False) -> str:
    """Post a request to the gateway; its request id."""
    metadata = {name: value for name, value in (("email", email), ("sources", sources), ("fresh", fresh)) if value}
    answer = gateway.call("POST", f"{url}/requests", opening.body(url, topic, depth, metadata))
    import json

    return str(json.loads(answer)["request_id"])


def lines(event: dict[str, Any], story: Story) -> Iterator[str]:
    """What one event is worth telling."""
    if "knativeerrorcode" in event:
        reason = plain(event.get("reason", event["knativeerrorcode"]))
        known = any(told.startswith(reason[:200]) for told in story.reasons)
        yield click.style(f"{clock(event)}  given up: {event['type']}{'' if known else f': {reason}'}", fg="red")
        return
    place = event["source"].split("/")
    if event["type"] == "step_failed":
        again = "; it will be tried again" if event.get("retried") == "true" else ""
        reason = plain(event.get("notes", {}).get("reason", "a step failed"))
        story.reasons.add(reason)
        yield click.style(f"{clock(event)}  {reason}{again}", fg="yellow")
        return
    if len(place) != 4 or "durationms" not in event:
        return
    seconds, tokens = int(event["durationms"]) / 1000, int(event.get("tokens", 0))
    woken = event.get("coldstart") == "true"
    story.steps, story.tokens, story.wakes = story.steps + 1, story.tokens + tokens, story.wakes + woken
    part = f"part {event['part']}" if "part" in event and place[3] != "plan" else ""
    revision = f" rev {event['revision']}" if event.get("revision", "0") != "0" else ""
    told = f"{seconds:5.1f} s {tokens:5d} tokens" + ("  woken from zero" if woken else "")
    yield f"{clock(event)}  {place[2]:<19}{part + revision:<14}{_result(event):<23}{told}"
    if event["type"] == "part_abandoned" and (reason := event.get("notes", {}).get("reason")):
        yield click.style(f"{'':<10}{plain(reason)}", fg="yellow")


def counted(number: int, one: str, more: str = "") -> str:
    """How many there are of something, which has a plural of its own or takes an s."""
    return f"{number} {one if number == 1 else more or f'{one}s'}"


def _result(event: dict[str, Any]) -> str:
    notes = event.get("notes", {})
    if event["type"] == "research_questions":
        return counted(notes.get("of", 1), "question")
    if event["type"] == "summary_ready":
        return f"{counted(notes.get('claims', 0), 'claim')} written"
    if event["type"] == "research_complete" and notes.get("claims") == 0:
        return "report without a claim"
    kind = str(event["type"])
    return _VERDICTS.get(kind, kind.replace("_", " "))


def say(text: str) -> None:
    """A line, at once, also into a pipe."""
    click.echo(text)
    sys.stdout.flush()


def cost(story: Story) -> str:
    """What a request took, in a few words."""
    seconds = time.monotonic() - story.started
    return f"{seconds:.1f} s, {story.steps} steps, {story.tokens} tokens, {story.wakes} woken from zero"
