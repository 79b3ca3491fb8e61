"""Which project the command works on, and its local platform's configuration."""

from __future__ import annotations

import os
from pathlib import Path

from eventing.cli.errors import CommandError
from eventing.local.config import Config, Ports

_PACKAGE = Path(__file__).resolve().parents[2]


def root(start: Path | None = None) -> Path:
    """The folder that holds `functions/`: here, above here, or where this package is."""
    here = (start or Path.cwd()).resolve()
    for folder in (here, *here.parents):
        if (folder / "functions").is_dir() and any((folder / "functions").glob("*/func.yaml")):
            return folder
    return _PACKAGE


def config() -> Config:
    """The configuration that the environment asks for.

    Raises:
        CommandError: when a port is no port.
    """
    project = Path(os.environ["TORPOR_PROJECT"]) if "TORPOR_PROJECT" in os.environ else root()
    state = Path(os.environ.get("TORPOR_STATE") or project / ".torpor")
    return Config(
        project=project,
        manifests=_PACKAGE / "eventing" / "manifests" / "research",
        state=state.absolute(),
        ports=_ports(),
        store_url=os.environ.get("TORPOR_STORE") or None,
        model_url=os.environ.get("TORPOR_MODEL_URL") or None,
        idle_seconds=float(os.environ.get("TORPOR_IDLE_S", "10")),
    )


def _ports() -> Ports:
    """The usual ports, or from TORPOR_PORT on: gateway, platform, kafka, kafka controller, model, smtp."""
    first = os.environ.get("TORPOR_PORT")
    if first is None:
        return Ports()
    if not first.isdigit() or not 1024 <= int(first) <= 65_500:
        raise CommandError(f"TORPOR_PORT must be a port between 1024 and 65500, got {first!r}")
    n = int(first)
    return Ports(gateway=n, platform=n + 1, kafka=n + 2, kafka_controller=n + 3, model=n + 4, smtp=n + 5)


def gateway_url(chosen: Config) -> str:
    """Where the gateway is: TORPOR_URL (a cluster's), else the local platform's."""
    return os.environ.get("TORPOR_URL", f"http://127.0.0.1:{chosen.ports.gateway}").rstrip("/")
