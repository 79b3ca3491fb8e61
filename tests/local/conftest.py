"""One real Kafka for all tests of the folder, in a state folder of its own, on free ports."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from eventing.local import kafka_server
from eventing.local.config import Config, Ports
from eventing.local.ports import unused


def local_config(state: Path, project: Path | None = None, manifests: Path | None = None) -> Config:
    """A local platform's configuration on free ports."""
    root = Path(__file__).parents[2]
    ports = Ports(*unused(7))
    return Config(
        project=project or root, manifests=manifests or root / "eventing/manifests/research", state=state, ports=ports
    )


@pytest.fixture(scope="session")
def kafka_bootstrap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    config = local_config(tmp_path_factory.mktemp("kafka"))
    kafka_server.start(config, lambda *_: None)
    yield config.bootstrap
    kafka_server.stop(config)
