"""Following a request: as a live picture on a terminal, as plain lines elsewhere, as JSON lines where asked."""

from __future__ import annotations

import contextlib
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import click

from eventing.cli import gateway, project
from eventing.cli.asking import Story, lines, say
from eventing.cli.errors import CommandError, NotRunningError
from eventing.harmless import plain

Look = Callable[[], dict[str, Any]]
Events = Iterator[tuple[str, dict[str, Any]]]
LOOK_EVERY_S = 0.4
NOTICE_EVERY_S = 2.0  # where only what is wrong is looked for: each look asks every consumer's thread


def follow(
    url: str,
    request_id: str,
    time_limit_s: float,
    look: Look | None = None,
    as_json: bool = False,
    with_tokens: bool = False,
) -> Story:
    """Show every step of a request as it is done, until the request ends.

    Args:
        look: tells how the platform fares; None where there is no platform to ask.
        with_tokens: whether the JSON lines have what the models say, too.
    """
    events = gateway.events(f"{url}/research/{request_id}/events", time_limit_s)
    if sys.stdout.isatty() and not as_json:
        return _as_picture(request_id, events, look)
    with _looking(_Problems(request_id, _complain).take, look, NOTICE_EVERY_S):
        return _as_json(request_id, events, with_tokens) if as_json else _as_lines(request_id, events, say)


def _complain(problem: str) -> None:
    click.secho(problem, fg="red", err=True)


_AT_LINE = re.compile(r"\S+:\d+: ")


class _Problems:
    """Tells what no event tells, each thing once: what is wrong with the project's files, and whose process is no more."""

    def __init__(self, request_id: str, tell: Callable[[str], None]) -> None:
        self._request_id, self._tell, self._told = request_id, tell, set[str]()

    def take(self, found: dict[str, Any]) -> None:
        for problem in found["problems"]:
            self._once(f"{problem}; what waits for it goes on once it is mended" if _AT_LINE.match(problem) else problem)
        for blocking in filter(None, (one["blocking"] for one in found["functions"].values())):
            self._once(plain(blocking))
        for one in found["deliveries"].values():
            if one["failing"] and one["failing_request"] == self._request_id:
                self._once(f"{plain(one['failing'])}; it will be tried again")

    def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)


def _as_json(request_id: str, events: Events, with_tokens: bool) -> Story:
    def nothing(_: str) -> None:
        return

    def told() -> Events:
        for event, data in events:
            if event == "tokens" and not with_tokens:
                continue
            say(json.dumps({"event": event, **({"state": data} if event == "end" else data)}))
            yield event, data

    return _as_lines(request_id, told(), nothing)


def _as_lines(request_id: str, events: Events, tell: Callable[[str], None]) -> Story:
    story = Story(request_id)
    for event, data in events:
        if event == "end":
            story.state = data
            break
        if event == "tokens":
            continue
        for line in lines(data, story):
            tell(line)
    return story


def _as_picture(request_id: str, events: Events, look: Look | None) -> Story:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from eventing.cli.picture import Picture

    picture = Picture(project.shown(project.config()))
    console = Console(highlight=False)

    def seen() -> Events:
        for event, data in events:
            if event == "tokens":
                picture.hear(data)
            elif event != "end":
                picture.see(data)
            yield event, data

    problems = _Problems(request_id, lambda problem: console.print(Text(problem, style="red")))

    def looked(found: dict[str, Any]) -> None:
        picture.processes(found["functions"])
        problems.take(found)

    with Live(picture, console=console, refresh_per_second=8, transient=True), _looking(looked, look, LOOK_EVERY_S):
        return _as_lines(
            request_id, seen(), lambda line: console.print(Text.from_ansi(line), no_wrap=True, overflow="ellipsis")
        )


@contextlib.contextmanager
def _looking(take: Callable[[dict[str, Any]], None], look: Look | None, every_s: float) -> Iterator[None]:
    """Ask the platform how it fares while the block goes on."""
    over = threading.Event()

    def ask() -> None:
        while look is not None and not over.is_set():
            with contextlib.suppress(CommandError, NotRunningError, KeyError):
                take(look())
            over.wait(every_s)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(2)
