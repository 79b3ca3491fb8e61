"""`torpor new`: what was made, and what to do next."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import click

from eventing import project as projects
from eventing import scaffold, workflow
from eventing.cli import checking, project
from eventing.cli.asking import say
from eventing.cli.errors import CommandError
from eventing.local import preflight
from eventing.local.config import Config
from eventing.local.downloads import KAFKA_MB, MODEL_MB

_NEXT = (
    ("{torpor} check", "what is wrong, before anything runs"),
    ("{python} -m unittest", "the agents' tests: no Kafka, no model"),
    ("{torpor} up --detach", f"Kafka, a small model, your agents asleep; the first time fetches {KAFKA_MB + MODEL_MB} MB"),
    ('{torpor} ask "Why do bats hibernate?"', "wakes them, shows each step and the answer"),
    ("{torpor} down", "everything stops; what is on disk stays"),
)


def new_workflow(name: str) -> None:
    """Make the current folder a project of its own."""
    folder = Path.cwd()
    made = scaffold.new_project(name, folder)
    _show(made)
    own = sum(_lines(folder / path) for path in made if path.startswith(("functions", "schemas")) and path.endswith(".py"))
    say(f"\nA pipeline of two agents, drafter and editor: {own} lines of Python.")
    say("\nNext, from this folder:\n")
    commands = [(command.format(torpor=_called("torpor"), python=_python()), why) for command, why in _NEXT]
    width = max(len(command) for command, _ in commands)
    for command, why in commands:
        say(f"  {command:<{width}}  # {why}")
    say("\nChange an agent while it runs: what you save holds from its next event on.")


def new_agent(config: Config, name: str, takes: str | None) -> None:
    """Make an agent, and give it a step in the project's workflow."""
    if not project.is_chosen():
        raise CommandError(f"{Path.cwd()} is no project: `torpor new workflow NAME` makes it one")
    checking.sound(config)
    file = config.workflow or workflow.FOLDER / "research.yaml"
    if config.project != projects.PACKAGE:
        _enter(config.project)
    made = scaffold.new_agent(name, config.project, file, takes)
    _show(made)
    if config.project == projects.PACKAGE:
        for generated in ("schemas.export", "eventing.manifests", "eventing.apis"):
            subprocess.run([sys.executable, "-m", generated], cwd=config.project, check=True)
        say("  written anew: schemas/json/, eventing/manifests/, docs/generated/")
    checking.check(config)
    test = next(path for path in made if path.startswith("tests/"))
    if preflight.running(config):
        say("\nThe platform runs with the workflow as it was: `torpor down` and `torpor up` take the new step up.")
    say(f"\nNext: {made[0]} is what it does; its test: {_python()} -m unittest {test.removesuffix('.py').replace('/', '.')}")


def _enter(project: Path) -> None:
    """Make the project's contracts importable here; they were checked in a process of their own."""
    import schemas

    sys.path.insert(0, str(project))
    schemas.__path__.append(str(project / "schemas"))


def _python() -> str:
    """How this very Python is called from here."""
    return next((name for name in ("python", "python3") if _bin(shutil.which(name)) == _bin(sys.executable)), sys.executable)


def _called(name: str) -> str:
    """How a command of this installation is called from here: by its name where that finds it, else by its path."""
    own = Path(sys.executable).parent / name
    return name if _bin(shutil.which(name)) == own.parent or not own.exists() else str(own)


def _bin(path: str | None) -> Path | None:
    return Path(path).parent if path else None


def _show(made: list[str]) -> None:
    for path in made:
        say(f"  {click.style('made', fg='green')}  {path}")


def _lines(file: Path) -> int:
    return sum(1 for line in file.read_text().splitlines() if line.strip())
