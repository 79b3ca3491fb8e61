"""The images: one a function, and the scheduler's; which ones were pushed is kept for the deployment."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from eventing.deployment.engines import Engine
from eventing.deployment.errors import DeploymentError
from eventing.project import PACKAGE, functions

PUSHED = Path("build/images.json")
SCHEDULER = "scheduler"
Say = Callable[[str], None]


def names(chosen: Sequence[str]) -> list[str]:
    """The functions that are meant, and the scheduler; all where none is named.

    Raises:
        DeploymentError: there is no such function.
    """
    known = [folder.name for folder in functions(PACKAGE)]
    wanted = [name.replace("-", "_") for name in chosen] or [*known, SCHEDULER]
    if unknown := [name for name in wanted if name not in (*known, SCHEDULER)]:
        raise DeploymentError(f"there is no function {unknown[0]!r}; there are {', '.join(known)}, and {SCHEDULER}")
    return wanted


def make(engine: Engine, chosen: Sequence[str], registry: str, tag: str, base: str, push: bool, say: Say) -> dict[str, str]:
    """Build images and, if asked for, push them; name -> image.

    Raises:
        DeploymentError: a function is unknown, a build failed, the registry took none.
    """
    found: dict[str, str] = {}
    wanted = names(chosen)
    if not registry:
        raise DeploymentError("name the registry: make images REGISTRY=registry.example.com/team")
    for number, name in enumerate(wanted, 1):
        image = f"{registry}/{name.replace('_', '-')}:{tag}"
        say(f"[{number}/{len(wanted)}] {image}")
        arguments = {"VERSION": tag, "REVISION": _revision(), **({"BASE": base} if base else {})}
        target = SCHEDULER if name == SCHEDULER else "agent"
        if target == "agent":
            arguments["AGENT"] = name
        engine.build(target, image, arguments, PACKAGE)
        found[name] = engine.push(image, PACKAGE / "build" / f"{name}.digest") if push else image
    if push:
        PUSHED.write_text(json.dumps((pushed() | found), indent=1) + "\n")
    return found


def pushed() -> dict[str, str]:
    """What was pushed so far: function -> image with its digest."""
    if not PUSHED.is_file():
        return {}
    kept: dict[str, str] = json.loads(PUSHED.read_text())
    return kept


def _revision() -> str:
    if not shutil.which("git"):
        return "unknown"
    shown = subprocess.run(["git", "rev-parse", "HEAD"], cwd=PACKAGE, capture_output=True, text=True, check=False)
    return shown.stdout.strip() or "unknown"
