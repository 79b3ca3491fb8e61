"""A platform that starts beside a store that is away for a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventing.cli import documents, platform
from eventing.errors import StoreError
from eventing.local.config import Config

NAME = "0123456789abcdef"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(project=Path(), manifests=Path(), state=tmp_path)


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[StoreError | None]:
    """What the store answers to each upload in turn."""
    given: list[StoreError | None] = []

    async def upload(*_: object) -> None:
        if (error := given.pop(0)) is not None:
            raise error

    monkeypatch.setattr(documents, "collect", lambda *_: documents.Collection(NAME, {}, {}))
    monkeypatch.setattr(documents, "upload", upload)
    monkeypatch.setattr(platform.time, "sleep", lambda _: None)
    return given


def test_documents_are_put_again_while_the_store_is_away(
    answers: list[StoreError | None], config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    answers += [StoreError("503"), StoreError("503"), None]
    assert platform._with_documents(config, Path("documents")).settings["sources"] == NAME
    assert "does not take the documents, and is asked again: 503" in capsys.readouterr().out


def test_a_store_that_stays_away_is_told(
    answers: list[StoreError | None], config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "STORE_S", 0.0)
    answers += [StoreError("503")]
    with pytest.raises(StoreError):
        platform._with_documents(config, Path("documents"))
