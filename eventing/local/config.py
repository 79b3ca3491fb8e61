"""Where the local platform keeps things and which ports it listens on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from eventing.local.elsewhere import Services

# What long work reports while it goes on: a service ("kafka"), what it does now, and the share done (0..1) where known.
Progress = Callable[[str, str, float | None], None]


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "torpor"


@dataclass(frozen=True)
class Ports:
    """TCP ports on 127.0.0.1; `gateway` is where people and curl go."""

    gateway: int = 8080
    platform: int = 8081
    kafka: int = 19092
    kafka_controller: int = 19093
    model: int = 8090
    smtp: int = 8025
    scheduler: int = 8091
    kafka_2: int = 19094  # these four where there are three brokers
    kafka_2_controller: int = 19095
    kafka_3: int = 19096
    kafka_3_controller: int = 19097


# How many ports in a row a platform needs, by the number of its Kafka brokers: one, or a quorum of three.
IN_A_ROW = {1: 7, 3: 11}


@dataclass(frozen=True)
class Config:
    """One local platform: its project folder, its state on disk, its ports."""

    project: Path
    manifests: Path
    state: Path
    cache: Path = field(default_factory=_cache)
    ports: Ports = field(default_factory=Ports)
    namespace: str = "torpor"
    store_url: str | None = None  # None: the folder state/bucket
    model_url: str | None = None  # None: the embedded model; else an OpenAI-compatible base URL
    pools: Path | None = None  # a pools' file of one's own for the scheduler, in the place of either
    services: Services | None = None  # where the functions run; None: here, as processes
    idle_seconds: float = 10.0
    brokers: int = 1  # of Kafka: 1, or 3, which replicate every topic
    workflow: Path | None = None  # a project's own workflow file; None: the package's `research`
    brought: tuple[Path, ...] = ()  # folders of functions that the package adds to the project's own
    settings: dict[str, str] = field(default_factory=dict)  # handed to every function as TORPOR_SETTING_<NAME>

    @property
    def bootstrap(self) -> str:
        """Every broker's address."""
        ports = (self.ports.kafka, self.ports.kafka_2, self.ports.kafka_3)
        return ",".join(f"127.0.0.1:{port}" for port in ports[: self.brokers])

    @property
    def listening(self) -> dict[str, int]:
        """The ports that this platform listens on, by what listens there."""
        return dict(list(asdict(self.ports).items())[: IN_A_ROW[self.brokers]])

    @property
    def bucket(self) -> Path:
        return self.state / "bucket"

    @property
    def store(self) -> str:
        """The store's URL, the folder's where no other was chosen."""
        return self.store_url or self.bucket.absolute().as_uri()

    @property
    def mailbox(self) -> Path:
        """A Maildir."""
        return self.state / "mail"
