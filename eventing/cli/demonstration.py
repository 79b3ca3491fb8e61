"""`torpor demo`: from nothing to a report, a mail and sleeping agents, told as it happens."""

from __future__ import annotations

import time
from pathlib import Path

import click

from eventing.cli import asking, platform, project, watching
from eventing.cli.asking import say
from eventing.cli.errors import CommandError
from eventing.local import preflight
from eventing.local.config import Config
from eventing.local.mailbox import Letter, letters

ADDRESS = "you@example.org"
MAIL_WAIT_S = 60.0


def run(config: Config, topic: str, depth: int, sources: Path | None, keep: bool) -> None:
    """Start the platform unless it runs, ask, show what came of it, and stop what was started."""
    began = time.monotonic()
    ours = preflight.running(config) is None
    platform.orderly_end()
    try:
        if ours:
            heading("Starting the platform")
            platform.start_detached(config, sources)
        _ask(config, topic, depth, sources, began)
        _asleep(config)
    finally:
        if ours and not keep:
            platform.down(config)
    if keep:
        say(f"The platform goes on: {project.gateway_url(config)}; stop it with `torpor down`.")


def heading(text: str) -> None:
    say("\n" + click.style(text, bold=True))


def _ask(config: Config, topic: str, depth: int, sources: Path | None, began: float) -> None:
    url = project.gateway_url(config)
    heading(f"Asking: {topic} (depth {depth})")
    collection = platform.put_documents(config, sources) if sources else None
    request_id = asking.post(url, topic, depth, ADDRESS, collection)
    say(f"  request {request_id}")
    story = watching.follow(url, request_id, 900.0, lambda: platform.status(config))
    if not story.complete:
        raise CommandError(f"the request failed: {story.why}")
    letter = _letter(config, request_id)
    took = time.monotonic() - began
    heading("The report")
    say(letter.text.strip() if letter else "  (the mail has not arrived)")
    page = _page(config, request_id)
    heading("Where it is")
    say(f"  page      {page}")
    say(f"  link      {story.state['link']} (while the platform runs)")
    if letter:
        say(f"  mail      {letter.path}\n            to {letter.to}: {letter.subject}")
    say(f"  cost      {asking.cost(story)}; {took:.1f} s from the command to the link")


def _letter(config: Config, request_id: str) -> Letter | None:
    end = time.monotonic() + MAIL_WAIT_S
    while time.monotonic() < end:
        for letter in letters(config.mailbox):
            if request_id in letter.message_id:
                return letter
        time.sleep(0.2)
    return None


def _page(config: Config, request_id: str) -> str:
    """The page as a file that a browser opens, where the bucket is a folder."""
    if config.store_url and not config.store_url.startswith("file:"):
        return f"{config.store_url}/pages/{request_id}/report.html"
    return str(config.bucket / "pages" / request_id / "report.html")


def _asleep(config: Config) -> None:
    """Wait until every agent is asleep again, and say how many are."""
    heading("Falling asleep")
    end = time.monotonic() + config.idle_seconds * 3 + 10
    while True:
        functions = platform.status(config)["functions"]
        awake = [name for name, one in functions.items() if one["instances"]]
        if not awake or time.monotonic() > end:
            break
        time.sleep(0.3)
    say(f"  {len(functions) - len(awake)} of {len(functions)} agents are asleep; {len(awake)} agent processes are left")
