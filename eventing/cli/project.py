"""Which project the command works on, and its local platform's configuration."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import urlsplit

from eventing import project as projects
from eventing.cli.errors import CommandError
from eventing.local.config import IN_A_ROW, Config, Ports
from eventing.local.elsewhere import Services
from eventing.workflow import EVERY_EVENT, Workflow, load, named


def root(start: Path | None = None) -> Path:
    """The project's folder: here, above here, or where this package is, with its own agents."""
    return projects.root((start or Path.cwd()).resolve()) or projects.PACKAGE


def is_chosen() -> bool:
    """Whether somebody chose the project, by standing in it or by TORPOR_PROJECT; else it is the package's own."""
    return bool(os.environ.get("TORPOR_PROJECT")) or projects.root(Path.cwd().resolve()) is not None


def workflow(project: Path) -> Path | None:
    """The project's own workflow file, or the one that TORPOR_WORKFLOW names; None for the package's `research`.

    Raises:
        CommandError: when there are several to choose from, or agents and none.
    """
    if chosen := os.environ.get("TORPOR_WORKFLOW"):
        if chosen.endswith((".yaml", ".yml")):
            return Path(chosen).absolute()
        if chosen != "research":
            raise CommandError(f"TORPOR_WORKFLOW must be a .yaml file, or research, which comes with Torpor; got {chosen!r}")
        return None
    if project == projects.PACKAGE:
        return None
    found = projects.workflow_files(project)
    if len(found) > 1:
        raise CommandError(f"{project} has several workflows: {_names(found)}; choose with TORPOR_WORKFLOW={found[0].name}")
    if not found:
        if lacking := projects.nearly_workflow_files(project):
            raise CommandError("; ".join(f"{path} lacks a line that begins with `{key}:`" for path, key in lacking))
        has = "functions/ and no workflow file beside it" if (project / "functions").is_dir() else "no workflow file"
        raise CommandError(
            f"{project} has {has}, which is a .yaml with the keys `opens` and `steps`; `torpor new workflow NAME` makes one"
            + "".join(f"; {path.name} {why}" for path, why in projects.unreadable_workflow_files(project))
        )
    return found[0]


def shown(chosen: Config) -> Workflow:
    """The workflow as it is to be shown: its contracts are not looked at."""
    return load(chosen.workflow, EVERY_EVENT) if chosen.workflow else named("research")


def _names(paths: list[Path]) -> str:
    return ", ".join(path.name for path in paths)


def config(whole: bool = True) -> Config:
    """The configuration that the environment asks for.

    Args:
        whole: False for what works on a platform that runs, and need not know the workflow: it may be broken meanwhile.

    Raises:
        CommandError: when a variable is not what it must be, or the project has no workflow.
    """
    _seconds("TORPOR_IMPORT_LIMIT_S", 20.0)  # read by the process that imports
    given = os.environ.get("TORPOR_PROJECT")
    project = Path(given).resolve() if given else root()
    if not project.is_dir():
        raise CommandError(f"TORPOR_PROJECT={given}: there is no such folder")
    try:
        own = workflow(project)
    except CommandError:
        if whole:
            raise
        own = None
    installed = project == projects.PACKAGE and not projects.is_checkout()
    state = Path(os.environ.get("TORPOR_STATE") or (Path.cwd() if installed else project) / ".torpor")
    return Config(
        project=project,
        manifests=project / "manifests" / own.stem if own else projects.PACKAGE / "eventing" / "manifests" / "research",
        workflow=own,
        brought=projects.brought(project),
        state=state.absolute(),
        ports=_ports(),
        store_url=os.environ.get("TORPOR_STORE") or None,
        model_url=_url("TORPOR_MODEL_URL", "the API's base such as http://host:8000/v1"),
        pools=_pools(),
        services=_services(),
        idle_seconds=_seconds("TORPOR_IDLE_S", 10.0),
        brokers=_brokers(),
    )


def _services() -> Services | None:
    url, via = os.environ.get("TORPOR_SERVICES"), os.environ.get("TORPOR_SERVICES_VIA", "")
    if not url:
        return None
    if "{name}" not in url or not all(one.startswith(("http://", "https://")) for one in (url, via or url)):
        raise CommandError(
            f"TORPOR_SERVICES must be the Services' address such as http://{{name}}.torpor.example.com, got {url!r}; "
            f"TORPOR_SERVICES_VIA, if set, a base URL such as http://10.0.0.1:8080, got {via!r}"
        )
    return Services(url, via)


def _pools() -> Path | None:
    given = os.environ.get("TORPOR_POOLS")
    if given and os.environ.get("TORPOR_MODEL_URL"):
        raise CommandError("TORPOR_POOLS and TORPOR_MODEL_URL both name model servers: unset one of them")
    if given and not Path(given).is_file():
        raise CommandError(f"TORPOR_POOLS={given}: there is no such file; docs/models.md shows one")
    return Path(given).absolute() if given else None


def _brokers() -> int:
    given = os.environ.get("TORPOR_BROKERS") or "1"
    if given not in map(str, IN_A_ROW):
        raise CommandError(f"TORPOR_BROKERS must be 1, or 3 for a Kafka that outlives one of its brokers, got {given!r}")
    return int(given)


def _seconds(name: str, otherwise: float) -> float:
    given = os.environ.get(name) or str(otherwise)
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 86_400:
        raise CommandError(f"{name} must be a number of seconds such as {otherwise:g}, got {given!r}")
    return seconds


def _ports() -> Ports:
    """The usual ports, or from TORPOR_PORT on: gateway, platform, kafka, kafka controller, model, smtp, scheduler.

    Then those of the second and the third broker, and of their controllers.
    """
    first = os.environ.get("TORPOR_PORT")
    if not first:
        return Ports()
    if not re.fullmatch("[0-9]{4,5}", first) or not 1024 <= int(first) <= 65_500:
        raise CommandError(f"TORPOR_PORT must be a port between 1024 and 65500, got {first!r}")
    n = int(first)
    return Ports(*range(n, n + IN_A_ROW[3]))


def gateway_url(chosen: Config) -> str:
    """Where the gateway is: TORPOR_URL (a cluster's), else the local platform's."""
    return (elsewhere() or f"http://127.0.0.1:{chosen.ports.gateway}").rstrip("/")


def elsewhere() -> str | None:
    """The gateway that TORPOR_URL names; None where the local platform's is meant.

    Raises:
        CommandError: when it is no URL.
    """
    return _url("TORPOR_URL", "a gateway's base URL such as http://gateway.torpor.example.com")


def _url(name: str, meant: str) -> str | None:
    given = os.environ.get(name)
    if not given:
        return None
    try:
        parts = urlsplit(given)
        sound = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise CommandError(f"{name} must be {meant}, got {given!r}")
    return given
