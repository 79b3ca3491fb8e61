"""What makes a folder a project: functions/ with agents, schemas/ with contracts, and one workflow file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from eventing.texts import NoTextError, text_of

PACKAGE = Path(__file__).resolve().parents[1]  # where the rooms are: the repository, or the site-packages of an installation
BROUGHT = ("gateway", "tracker")  # what every workflow has; a project may have its own instead
_KEYS = ("opens", "steps")


def is_checkout() -> bool:
    """Whether the package runs from its repository, and was not installed from a wheel."""
    return (PACKAGE / "pyproject.toml").is_file()


def root(start: Path) -> Path | None:
    """The project's folder: `start`, or the nearest above it that has agents or a workflow file."""
    for folder in (start, *start.parents):
        if any((folder / "functions").glob("*/func.yaml")) or workflow_files(folder):
            return folder
    return None


def workflow_files(folder: Path) -> list[Path]:
    """Every YAML file right in the folder that opens something and has steps."""
    return [path for path, lacking in _looked_at(folder) if not lacking]


def nearly_workflow_files(folder: Path) -> list[tuple[Path, str]]:
    """Every YAML file right in the folder that has but one of the two keys, and the key that it lacks."""
    return [(path, lacking[0]) for path, lacking in _looked_at(folder) if len(lacking) == 1]


def unreadable_workflow_files(folder: Path) -> list[tuple[Path, str]]:
    """What is called as a workflow file would be, right in the folder, and why its text cannot be had, or is none."""
    found = []
    for path in _yaml_files(folder):
        try:
            _text_of(path)
        except NoTextError as error:
            found.append((path, str(error)))
    return found


def _text_of(path: Path) -> str:
    if not path.is_file():  # reading a pipe would wait for ever
        raise NoTextError("is no file" if path.exists() else "leads nowhere")
    if not (text := text_of(path)):
        raise NoTextError("is empty")
    return text


def _yaml_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])


def _looked_at(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """Every YAML file right in the folder, and what it lacks of a workflow's keys."""
    for path in _yaml_files(folder):
        try:
            text = _text_of(path)
        except NoTextError:
            continue
        yield path, [key for key in _KEYS if not re.search(f"^{key}:", text, re.MULTILINE)]


def brought(project: Path) -> tuple[Path, ...]:
    """The folders of those functions that the package brings to a project of somebody's own."""
    if project == PACKAGE:
        return ()
    own = PACKAGE / "functions"
    return tuple(own / name for name in BROUGHT if not (project / "functions" / name / "func.yaml").is_file())


def functions(project: Path) -> list[Path]:
    """The folders of all functions of a project, those that the package brings included."""
    return [*sorted(file.parent for file in (project / "functions").glob("*/func.yaml")), *brought(project)]
