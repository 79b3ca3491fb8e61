"""`torpor chaos`: a scenario run to its verdict."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from random import Random
from secrets import randbelow
from typing import Any

import click

from eventing.chaos import reporting, stage
from eventing.chaos.observing import Observations
from eventing.chaos.running import Run
from eventing.chaos.scenario import Scenario, load
from eventing.chaos.verdict import judge
from eventing.cli import opening, project
from eventing.cli.asking import say
from eventing.cli.errors import CommandError
from eventing.local.config import Config

ADDRESS = "chaos@example.org"
_EVERY_S = 10.0  # a plain line, where there is no terminal


class _Teller:
    """Lines about the run, on standard error where standard output is for JSON."""

    def __init__(self, quiet: bool) -> None:
        self._err, self._said = quiet, 0.0
        self._live = (sys.stderr if quiet else sys.stdout).isatty()
        self._begun = time.monotonic()

    def tell(self, line: str) -> None:
        start = "\r\x1b[2K" if self._live else ""
        click.echo(f"{start}  {time.monotonic() - self._begun:4.0f} s  {line}", err=self._err)

    def show(self, line: str) -> None:
        if self._live:
            click.echo(f"\r\x1b[2K  {line}", nl=False, err=self._err)
        elif time.monotonic() - self._said >= _EVERY_S:
            self._said = time.monotonic()
            click.echo(f"  {line}", err=self._err)


def run(chosen: Config, given: str, here: bool, folder: Path | None, seed: int | None, as_json: bool) -> bool:
    """Run a scenario and tell the verdict; whether every promise was kept."""
    scenario = load(given)
    out = (folder or chosen.state / "chaos" / time.strftime("%Y%m%d-%H%M%S")).absolute()
    plays = stage.running(chosen, scenario) if here else stage.own(chosen, out / "platform", scenario)
    out.mkdir(parents=True, exist_ok=True)
    seed = randbelow(1_000_000) if seed is None else seed
    teller = _Teller(as_json)
    teller.tell(f"{given}: {scenario.about or f'{len(scenario.faults)} faults'} (--seed {seed})")
    chance = Random(seed)  # noqa: S311
    try:
        plays.begin()
        seen = asyncio.run(_go(chosen, plays, scenario, chance, teller))
    finally:
        plays.end()
    return _told(seen, scenario, given, out, seed, as_json)


async def _go(chosen: Config, plays: stage.Stage, scenario: Scenario, chance: Random, teller: _Teller) -> Observations:
    made = await asyncio.to_thread(_body, plays.gateway, scenario.depth)
    one = Run(plays, scenario, project.shown(chosen), made, teller.tell, teller.show, chance)

    def interrupt() -> None:
        if one.stopped.is_set():
            one.abandoned.set()
            return
        teller.tell("no more requests and faults; waiting for those that were taken (again: not even that)")
        one.stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    return await one.go()


def _body(gateway: str, depth: int) -> dict[str, Any]:
    return opening.body(gateway, "What outlives a fault?", depth, {"email": ADDRESS})


def _told(seen: Observations, scenario: Scenario, given: str, out: Path, seed: int, as_json: bool) -> bool:
    verdict = judge(seen, scenario.costly)
    content = reporting.content(verdict, seen, given) | {"seed": seed}
    try:
        (out / "report.json").write_text(json.dumps(content, indent=2) + "\n")
        (out / "progress.svg").write_text(reporting.picture(seen))
    except OSError as error:
        raise CommandError(f"the report cannot be written to {out}: {error.strerror}") from error
    if as_json:
        say(json.dumps(content, indent=2))
    else:
        say("\r\x1b[2K" if sys.stdout.isatty() else "")
        for line in reporting.lines(verdict, seen):
            say(line)
        say(f"report: {out / 'report.json'}, picture: {out / 'progress.svg'}")
    return verdict.kept
