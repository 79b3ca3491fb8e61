"""`python -m eventing.checking [WORKFLOW.yaml]`: look at the project here; one JSON object a line, the last one says all."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from eventing import workflow as workflows
from eventing.checking import agents, contracts, func_yaml
from eventing.checking.importing import Importer
from eventing.checking.problem import Problem, near, parsed
from eventing.errors import WorkflowError
from eventing.project import BROUGHT, PACKAGE
from eventing.workflow import Step, Workflow, line_of
from schemas import events


def main(arguments: list[str], out: TextIO) -> None:
    """Say what is wrong."""
    project = Path.cwd().resolve()
    own = project != PACKAGE
    file = Path(arguments[0]) if arguments else workflows.FOLDER / "research.yaml"
    importer = Importer(out, float(os.environ.get("TORPOR_IMPORT_LIMIT_S") or 20))
    found = list(contracts.check(project, own, importer))
    sound = not found and not importer.problems
    workflow, refused = _workflow(file, sound)
    found += [*refused, *_Project(project, own, file, workflow, sound, importer).problems()]
    everything = sorted({*found, *importer.problems})
    importer.say(problems=[(p.file, p.line, p.what) for p in everything], events=list(events()) if sound else [])


def _workflow(file: Path, sound: bool) -> tuple[Workflow | None, list[Problem]]:
    """The workflow; where contracts are broken, none is called unknown for that."""
    try:
        return workflows.load(file, None if sound else workflows.EVERY_EVENT), []
    except WorkflowError as error:
        return None, [parsed(line) for line in str(error).splitlines() if line.strip()]


@dataclass(frozen=True)
class _Project:
    """A project's functions, beside its workflow; `sound` says that every contract is there to compare with."""

    folder: Path
    own: bool
    file: Path
    workflow: Workflow | None
    sound: bool
    importer: Importer

    @property
    def steps(self) -> tuple[Step, ...]:
        return self.workflow.steps if self.workflow else ()

    @property
    def near(self) -> str:
        return near(str(self.file))

    def problems(self) -> Iterator[Problem]:
        functions = (self.folder / "functions").glob("*")
        folders = {p.name: p for p in sorted(functions) if p.is_dir() and p.name[0] not in "._"}
        text = self.file.read_text() if self.workflow else ""
        for step in self.steps:
            if step.agent not in folders and not (self.own and step.agent in BROUGHT):
                told = f"step {step.name}: there is no folder functions/{step.agent}: make it, or mend the name"
                yield Problem(self.near, line_of(text, "steps", step.name, "agent"), told)
        for folder in folders.values():
            yield from self._function(folder, used=any(step.agent == folder.name for step in self.steps))
        for step in self.steps if self.sound else ():
            assert self.workflow
            yield from agents.fields(step, self.workflow, self.near, text)

    def _function(self, folder: Path, used: bool) -> Iterator[Problem]:
        has = {path.name for path in folder.glob("*")} - {"__init__.py", "__pycache__"}
        if not used and has and not has & {"func.yaml", "agent.py", "main.py"}:
            return  # what agents share
        if "func.yaml" in has:
            yield from func_yaml.check(self.folder, folder, self.workflow)
        else:
            told = f"has no func.yaml: copy another function's and write {folder.name!r} for its name and TORPOR_AGENT"
            yield Problem(f"functions/{folder.name}", 1, told)
        if "main.py" in has and "agent.py" not in has and not used:
            return  # it serves itself
        for found in agents.entry(self.folder, folder, self.importer):
            if isinstance(found, Problem):
                yield found
            elif self.workflow and self.sound:
                yield from agents.types(found, self.workflow, self.near)


if __name__ == "__main__":
    # What the project's code prints must not be taken for what was found.
    with os.fdopen(os.dup(1), "w") as lines:
        os.dup2(2, 1)
        main(sys.argv[1:], lines)
        lines.flush()
        os._exit(0)  # a project may have started threads that do not end
