"""A platform that starts beside a store that is away for a moment."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventing.cli import platform
from eventing.errors import StoreError
from eventing.local.config import Config

CONFIG = Config(project=Path(), manifests=Path(), state=Path())


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str | StoreError]:
    """What the store answers to each upload in turn."""
    given: list[str | StoreError] = []

    def put(*_: object) -> str:
        answer = given.pop(0)
        if isinstance(answer, StoreError):
            raise answer
        return answer

    monkeypatch.setattr(platform, "put_documents", put)
    monkeypatch.setattr(platform.time, "sleep", lambda _: None)
    return given


def test_documents_are_put_again_while_the_store_is_away(
    answers: list[str | StoreError], capsys: pytest.CaptureFixture[str]
) -> None:
    answers += [StoreError("503"), StoreError("503"), "0123456789abcdef"]
    assert platform._with_documents(CONFIG, Path("documents")).settings["sources"] == "0123456789abcdef"
    assert "does not take the documents, and is asked again: 503" in capsys.readouterr().out


def test_a_store_that_stays_away_is_told(answers: list[str | StoreError], monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter((0.0, 0.0, platform.STORE_S + 1.0))
    monkeypatch.setattr(platform.time, "monotonic", lambda: next(moments))
    monkeypatch.setattr(platform, "progress", lambda *_: None)
    answers += [StoreError("503"), StoreError("503")]
    with pytest.raises(StoreError):
        platform._with_documents(CONFIG, Path("documents"))
