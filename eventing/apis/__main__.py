"""`python -m eventing.apis [--check] [--to FOLDER] [WORKFLOW.yaml ...]`: write the descriptions, or say what drifted."""

from __future__ import annotations

import sys
from pathlib import Path

from eventing.apis import OPENAPI, asyncapi, mermaid, openapi, svg
from eventing.errors import WorkflowError
from eventing.workflow import FOLDER, Workflow, load

DOCS = Path(__file__).parents[2] / "docs" / "generated"


def files(workflow: Workflow) -> dict[str, str]:
    """File name -> text of everything that describes a workflow."""
    return {
        f"{workflow.name}.asyncapi.yaml": asyncapi.text(workflow),
        f"{workflow.name}.mmd": mermaid.text(workflow),
        **{f"{workflow.name}-{theme}.svg": svg.text(workflow, theme) for theme in svg.THEMES},
    }


def main(arguments: list[str]) -> int:
    """Exit code 1 when a workflow cannot work or, with `--check`, when a file differs."""
    folder = Path(arguments.pop(at + 1)) if (at := _at(arguments, "--to")) >= 0 else DOCS
    check = "--check" in arguments
    named = [Path(a) for a in arguments if not a.startswith("-")]
    problems, texts = [], {} if named else {OPENAPI: openapi.text()}
    for path in named or sorted(FOLDER.glob("*.yaml")):
        try:
            texts |= {folder / name: text for name, text in files(load(path)).items()}
        except WorkflowError as error:
            problems.append(str(error))
    problems += _stale(texts) if check else _written(texts)
    print("\n".join(problems) or f"{len(texts)} descriptions are up to date")
    return 1 if problems else 0


def _at(arguments: list[str], option: str) -> int:
    return arguments.index(option) if option in arguments[:-1] else -1


def _stale(texts: dict[Path, str]) -> list[str]:
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    return [f"{path} differs from what it describes: run `make apis`" for path in stale]


def _written(texts: dict[Path, str]) -> list[str]:
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
