"""`python -m eventing.manifests [--check] [WORKFLOW.yaml ...]`: write the resources, or say where they drifted."""

from __future__ import annotations

import sys
from pathlib import Path

from eventing.errors import EventingError
from eventing.manifests.render import files
from eventing.project import PACKAGE, functions
from eventing.workflow import FOLDER, load


def main(arguments: list[str]) -> int:
    """Exit code 1 when a workflow cannot work or, with `--check`, when a file differs."""
    check = "--check" in arguments
    chosen = [Path(a) for a in arguments if not a.startswith("-")] or sorted(FOLDER.glob("*.yaml"))
    problems: list[str] = []
    for path in chosen:
        try:
            workflow = load(path)
            made = files(workflow, functions=functions(PACKAGE))
        except EventingError as error:
            problems.append(str(error))
            continue
        problems += _written(Path(__file__).parent / workflow.name, made, check)
    print("\n".join(problems) or f"the manifests of {len(chosen)} workflow(s) are up to date")
    return 1 if problems else 0


def _written(folder: Path, texts: dict[str, str], check: bool) -> list[str]:
    if not check:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in texts.items():
            (folder / name).write_text(text)
        return []
    stale = [name for name, text in texts.items() if not (folder / name).exists() or (folder / name).read_text() != text]
    return [f"{folder / name} differs from its workflow: run `make manifests`" for name in stale]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
