"""`torpor new agent NAME`: a folder, a contract, a step in the workflow and a test."""

from __future__ import annotations

import json
from pathlib import Path

from eventing import workflow as workflows
from eventing.errors import WorkflowError
from eventing.project import BROUGHT
from eventing.scaffold import steps
from eventing.scaffold.errors import ScaffoldError
from eventing.scaffold.projects import func_yaml
from eventing.scaffold.samples import sample
from eventing.scaffold.writing import camel, filled, named, write
from schemas import Contract, contract_for, events
from schemas.contract import OWN_MODULES


def new_agent(name: str, project: Path, file: Path, takes: str | None = None) -> list[str]:
    """Write the agent and its step; the paths of what was made, the workflow file last.

    The agent takes `takes`, or else what a request ends with: then it is the new last step, where no step takes that yet.

    Raises:
        ScaffoldError: when the name cannot be one, something is in the way, or the workflow cannot take the step.
    """
    chosen = named(name)
    if chosen in OWN_MODULES | {"evolution", "export", *BROUGHT} or (project / "functions" / chosen).exists():
        raise ScaffoldError(f"there is {chosen} already, in functions/ or schemas/: choose another name")
    workflow = workflows.load(file)
    taken = _taken(workflow, takes)
    event = f"{chosen}_done"
    text = steps.with_step(file.read_text(), workflow, chosen, taken.event, event)
    _check(file, text, event)
    values = {
        "name": chosen,
        "camel": camel(chosen),
        "event": event,
        "made": f"{camel(chosen)}Done",
        "taken": taken.__name__,
        "taken_module": _module(taken),
        "sample": json.dumps(sample(taken), indent=4),
    }
    texts = {
        f"functions/{chosen}/agent.py": filled("agent.py", **values),
        f"functions/{chosen}/func.yaml": func_yaml(chosen, workflow.name if _is_package(project) else file.name, 60),
        f"schemas/{chosen}.py": filled("contract.py", **values),
        f"tests/functions/test_{chosen}.py" if _is_package(project) else f"tests/test_{chosen}.py": filled(
            "test_agent.py", **values
        ),
    }
    if _is_package(project):
        texts[f"functions/{chosen}/__init__.py"] = ""
    made = write(project, texts)
    file.write_text(text)
    return [*made, str(file.relative_to(project)) if file.is_relative_to(project) else file.name]


def _is_package(project: Path) -> bool:
    return (project / "functions" / "__init__.py").exists()


def _taken(workflow: workflows.Workflow, takes: str | None) -> type[Contract]:
    event = workflow.ends[0] if takes is None else takes
    if event not in workflow.topics:
        raise ScaffoldError(f"the workflow {workflow.name} has no event {event}; it has {', '.join(workflow.topics)}")
    return contract_for(event)


def _module(contract: type[Contract]) -> str:
    """Where to import a contract from: the package shows its own at the top."""
    return "schemas" if contract.__module__.rpartition(".")[2] in OWN_MODULES else contract.__module__


def _check(file: Path, text: str, event: str) -> None:
    fresh = file.with_suffix(".new")
    try:
        fresh.write_text(text)
        workflows.load(fresh, frozenset({*events(), event}))
    except WorkflowError as error:
        told = str(error).replace(str(fresh), file.name)
        raise ScaffoldError(f"the step does not fit into {file.name}; nothing was written:\n{told}") from error
    finally:
        fresh.unlink(missing_ok=True)
