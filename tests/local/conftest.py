"""One real Kafka for all tests of the folder, in a state folder of its own, on free ports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventing.local import kafka_server
from eventing.local.config import Config, Ports
from eventing.local.ports import unused
from eventing.local.processes import Service


def local_config(state: Path, project: Path | None = None, manifests: Path | None = None) -> Config:
    """A local platform's configuration on free ports."""
    root = Path(__file__).parents[2]
    ports = Ports(*unused(7))
    return Config(
        project=project or root, manifests=manifests or root / "eventing/manifests/research", state=state, ports=ports
    )


@pytest.fixture(scope="session")
def kafka_config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return local_config(tmp_path_factory.mktemp("kafka"))


@pytest.fixture(scope="session")
def kafka_service(kafka_config: Config) -> Iterator[Service]:
    yield kafka_server.start(kafka_config, lambda *_: None)
    kafka_server.stop(kafka_config)


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka_config: Config, kafka_service: Service) -> str:
    return kafka_config.bootstrap
