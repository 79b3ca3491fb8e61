"""`torpor check`, and what `torpor up` does before anything starts: look at the project, then write its manifests."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from eventing import manifests, workflow
from eventing.checking import examine
from eventing.cli import project
from eventing.cli.asking import say
from eventing.cli.errors import CommandError
from eventing.local.config import Config
from eventing.project import functions
from eventing.workflow import Workflow


def check(config: Config) -> None:
    """Say everything that is wrong, or that nothing is.

    Raises:
        CommandError: when something is wrong.
    """
    found = sound(config)
    agents = len({step.agent for step in found.steps})
    where = "" if project.is_chosen() else f" (it comes with Torpor: {Path.cwd()} is no project)"
    say(f"{found.name}{where}: {len(found.steps)} steps, {agents} agents, {len(found.topics)} events; nothing is wrong")


def sound(config: Config) -> Workflow:
    """The project's workflow, once nothing is wrong with it or with its agents.

    Raises:
        CommandError: naming everything that is wrong, each with its file, line and mend.
    """
    findings = examine(config.project, config.workflow)
    if findings.problems:
        files = Counter(problem.file for problem in findings.problems)
        for problem in findings.problems:
            click.secho(str(problem), fg="red", err=True)
        raise CommandError(f"{len(findings.problems)} to mend in {len(files)} of the project's files; nothing was started")
    if config.workflow is None:
        return workflow.named("research")
    return workflow.load(config.workflow, findings.events)


def prepare(config: Config) -> None:
    """Check the project and write the manifests of its own workflow; the package's are there already.

    Raises:
        CommandError: when something is wrong.
    """
    found = sound(config)
    if config.workflow is None:
        return
    config.manifests.mkdir(parents=True, exist_ok=True)
    for name, text in manifests.files(found, config.workflow.name, "torpor up", functions(config.project)).items():
        (config.manifests / name).write_text(text)
