"""The contracts of a project: every module of its schemas/ can be imported, under a name and for events of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from eventing.checking.importing import Importer
from eventing.checking.problem import Problem
from schemas.contract import OWN_MODULES, Contract, EventData, events

_EVENT = re.compile(r"[a-z][a-z0-9_]{0,62}")


def check(project: Path, own: bool, importer: Importer) -> Iterator[Problem]:
    """What is wrong; `own` says that the project is somebody's own, beside the installed package."""
    for file in sorted((project / "schemas").glob("*.py")):
        if file.stem in OWN_MODULES | {"__init__", "evolution", "export"}:
            if own and file.stem != "__init__":
                yield Problem(
                    f"schemas/{file.name}", 1, f"the package has a module schemas.{file.stem}: name yours otherwise"
                )
            continue
        importer.take(f"schemas.{file.stem}", f"schemas/{file.name}")
    if importer.problems:
        return
    for event, contract in events().items():
        if not contract.__module__.startswith("schemas."):
            continue
        module = contract.__module__.replace(".", "/") + ".py"
        if told := _request_id(contract):
            yield Problem(module, _line(project / module, "request_id"), told)
        if not _EVENT.fullmatch(event):
            told = f"event={event!r}: a topic's name is lower-case letters, digits and _, and begins with a letter"
            yield Problem(module, _line(project / module, f"class {contract.__name__}("), told)


def _request_id(contract: type[EventData]) -> str:
    if not issubclass(contract, Contract) or contract.model_fields["request_id"].annotation is UUID:
        return ""
    return f"{contract.__name__}.request_id: must stay the UUID that every contract has: remove it"


def _line(file: Path, text: str) -> int:
    lines = file.read_text().splitlines() if file.exists() else []
    return next((n for n, line in enumerate(lines, 1) if text in line), 1)
