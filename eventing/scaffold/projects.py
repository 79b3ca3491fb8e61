"""`torpor new workflow NAME`: a folder becomes a project with a pipeline of two agents."""

from __future__ import annotations

from pathlib import Path

from eventing.project import workflow_files
from eventing.scaffold.errors import ScaffoldError
from eventing.scaffold.writing import filled, named, write
from schemas.contract import OWN_MODULES


def new_project(name: str, folder: Path) -> list[str]:
    """Write the project; the paths of its files.

    Raises:
        ScaffoldError: when the name cannot be one, or something is in the way.
    """
    chosen = named(name)
    if chosen in OWN_MODULES | {"evolution", "export"}:
        raise ScaffoldError(f"the package has contracts in schemas.{chosen} already: choose another name")
    if there := workflow_files(folder):
        raise ScaffoldError(f"{folder} has a workflow already, {there[0].name}: a project has one; use another folder")
    texts = {
        f"{chosen}.yaml": filled("workflow.yaml", name=chosen),
        f"schemas/{chosen}.py": filled("contracts.py", name=chosen),
        f"tests/test_{chosen}.py": filled("test_project.py", name=chosen),
        "tests/__init__.py": "",
        ".gitignore": filled("gitignore"),
    }
    for agent in ("drafter", "editor"):
        texts[f"functions/{agent}/agent.py"] = filled(f"{agent}.py", name=chosen)
        texts[f"functions/{agent}/func.yaml"] = func_yaml(agent, f"{chosen}.yaml", 120)
    if (folder / ".gitignore").exists():
        del texts[".gitignore"]
    return write(folder, texts)


def func_yaml(agent: str, workflow: str, seconds: int) -> str:
    return filled("func.yaml", name=agent, service=agent.replace("_", "-"), workflow=workflow, seconds=str(seconds))
