"""`torpor chaos`: a scenario run to its verdict."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from secrets import randbelow

import click

from eventing.chaos import reporting, stage
from eventing.chaos.cluster import Cluster, ClusterSight, PodStriker, StateWatch
from eventing.chaos.observing import Observations, Watch
from eventing.chaos.running import Run
from eventing.chaos.scenario import Scenario, load
from eventing.chaos.striking import Injector
from eventing.chaos.verdict import judge
from eventing.cli import opening, project
from eventing.cli.asking import say
from eventing.cli.errors import CommandError
from eventing.local import processes
from eventing.local.config import Config
from eventing.workflow import Workflow

ADDRESS, QUESTION = "chaos@example.org", "What outlives a fault?"
_EVERY_S = 10.0  # a plain line, where there is no terminal


class _Teller:
    """Lines about the run, on standard error where standard output is for JSON."""

    def __init__(self, quiet: bool) -> None:
        self._err, self._said = quiet, 0.0
        self._live = (sys.stderr if quiet else sys.stdout).isatty()
        self._begun = time.monotonic()

    def tell(self, line: str) -> None:
        start = "\r\x1b[2K" if self._live else ""
        click.echo(f"{start}{self._stamped(line)}", err=self._err)

    def show(self, line: str) -> None:
        if self._live:
            click.echo(f"\r\x1b[2K{self._stamped(line)}", nl=False, err=self._err)
        elif time.monotonic() - self._said >= _EVERY_S:
            self._said = time.monotonic()
            click.echo(self._stamped(line), err=self._err)

    def _stamped(self, line: str) -> str:
        return f"  {time.monotonic() - self._begun:4.0f} s  {line}"


@dataclass(frozen=True)
class OnCluster:
    """Torpor on a cluster, and the addresses at which it can be seen."""

    cluster: Cluster
    gateway: str | None = None
    bootstrap: str | None = None
    scheduler: str | None = None


def where(
    cluster: str | None,
    kubeconfig: Path | None,
    namespace: str,
    kafka_namespace: str,
    models_namespace: str,
    gateway: str | None,
    bootstrap: str | None,
    scheduler: str | None,
) -> OnCluster | None:
    """The cluster that the command's options name; None where they name none.

    Raises:
        UsageError: when they say something of a cluster and name none.
    """
    options = [f"--context={cluster}"] * bool(cluster) + [f"--kubeconfig={kubeconfig}"] * bool(kubeconfig)
    found = Cluster(namespace, kafka_namespace, models_namespace, tuple(options))
    if options:
        return OnCluster(found, gateway, bootstrap, scheduler)
    given = {"--gateway": gateway, "--bootstrap": bootstrap, "--scheduler": scheduler}
    if idle := [name for name, value in given.items() if value]:
        raise click.UsageError(f"{' and '.join(idle)} of which cluster? Name it by --cluster or --kubeconfig")
    return None


@dataclass(frozen=True)
class Asked:
    """What is to be run, and how it is told."""

    scenario: str
    out: Path | None = None
    seed: int | None = None
    as_json: bool = False


def run(chosen: Config, asked: Asked, running: bool = False, on_cluster: OnCluster | None = None) -> bool:
    """Run a scenario on a platform of its own, the one that runs or a cluster; whether every promise was kept."""
    scenario, workflow = load(asked.scenario), project.shown(chosen)
    out = (asked.out or chosen.state / "chaos" / time.strftime("%Y%m%d-%H%M%S")).absolute()
    seed = randbelow(1_000_000) if asked.seed is None else asked.seed
    teller = _Teller(asked.as_json)
    chance = Random(seed)  # noqa: S311
    if on_cluster is None:
        here = (
            stage.running(chosen, workflow, scenario) if running else stage.own(chosen, workflow, out / "platform", scenario)
        )
        playing: AbstractContextManager[Run] = _local(here, scenario, teller, chance)
    else:
        playing = _on_cluster(on_cluster, workflow, scenario, teller, chance)
    out.mkdir(parents=True, exist_ok=True)
    teller.tell(f"{asked.scenario}: {scenario.about or f'{len(scenario.faults)} faults'} (--seed {seed})")
    for left in stage.end_abandoned(chosen, out):
        teller.tell(f"ended the platform that a killed run left in {left}")
    mine = processes.record(out, stage.RUN, os.getpid())
    try:
        with playing as one:
            seen = asyncio.run(_go(one, teller))
    finally:
        processes.forget(mine)
    return _told(seen, scenario, out, replace(asked, seed=seed))


@contextmanager
def _local(plays: stage.Stage, scenario: Scenario, teller: _Teller, chance: Random) -> Iterator[Run]:
    try:
        plays.begin()
        watch = Watch(plays.config.bootstrap, plays.workflow)
        injector = Injector(teller.tell, chance, stage=plays, watch=watch)
        body = opening.body(plays.gateway, QUESTION, scenario.depth, {"email": ADDRESS})
        yield Run(plays, scenario, plays.workflow, body, watch, injector, teller.show)
    finally:
        plays.end()


def _on_cluster(
    where: OnCluster, workflow: Workflow, scenario: Scenario, teller: _Teller, chance: Random
) -> AbstractContextManager[Run]:
    """The run, once everything on the cluster was looked at."""
    where.cluster.check(scenario)
    gateway = (where.gateway or where.cluster.gateway()).rstrip("/")
    sight, admitted = ClusterSight(gateway, workflow, where.bootstrap, where.scheduler), dict[str, float]()
    watch = Watch(where.bootstrap, workflow) if where.bootstrap else StateWatch(sight, admitted)
    striker = PodStriker(teller.tell, chance, cluster=where.cluster)
    body = opening.body(gateway, QUESTION, scenario.depth, {})  # no mail is asked for: nobody here sees whether it came
    return nullcontext(Run(sight, scenario, workflow, body, watch, striker, teller.show, admitted=admitted))


async def _go(one: Run, teller: _Teller) -> Observations:
    def interrupt() -> None:
        if one.stopped.is_set():
            one.abandoned.set()
            return
        teller.tell("no more requests and faults; waiting for those that were taken (again: not even that)")
        one.stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, interrupt)
    return await one.go()


def _told(seen: Observations, scenario: Scenario, out: Path, asked: Asked) -> bool:
    verdict = judge(seen, scenario.costly)
    content = reporting.content(verdict, seen, asked.scenario) | {"seed": asked.seed}
    try:
        (out / "report.json").write_text(json.dumps(content, indent=2) + "\n")
        (out / "progress.svg").write_text(reporting.picture(seen))
    except OSError as error:
        raise CommandError(f"the report cannot be written to {out}: {error.strerror}") from error
    if asked.as_json:
        say(json.dumps(content, indent=2))
    else:
        say("\r\x1b[2K" if sys.stdout.isatty() else "")
        for line in reporting.lines(verdict, seen):
            say(line)
        say(f"report: {out / 'report.json'}, picture: {out / 'progress.svg'}")
    return verdict.kept
