"""Kafka and the model server may die under a platform that runs: it starts them anew, and its requests go on."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventing.local import processes, services
from eventing.local.mailbox import letters
from inference.testing import FakeServer, Scripted
from tests.local.running import ROOT, Running, until


@pytest.fixture
def platform(tmp_path: Path) -> Iterator[Running]:
    with FakeServer() as model:
        model.otherwise = Scripted(delay_s=0.3)
        running = Running(tmp_path / "state", {"TORPOR_MODEL_URL": model.url})
        running.up("--sources", str(ROOT / "examples/post-quantum"))
        yield running
        running.down()


@pytest.mark.timeout(200)
def test_requests_outlive_kill_9_of_kafka_with_one_mail_each(platform: Running) -> None:
    requests = [platform.ask(f"ML-KEM question {n}", 1, email=f"n{n}@example.org") for n in range(3)]
    first = processes.find(platform.state, "kafka")
    assert first is not None and first.process is not None
    first.process.kill()
    for request in requests:
        platform.completed(request, 120)
    second = processes.find(platform.state, "kafka")
    assert second is not None and second.pid != first.pid

    def mails() -> Counter[str]:
        return Counter(letter.to for letter in letters(platform.config.mailbox))

    until(lambda: len(mails()) == 3, "three mails", 60)
    assert set(mails().values()) == {1}
    platform.down()
    assert platform.processes() == []


async def test_what_cannot_be_started_is_tried_again_even_where_nothing_can_be_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = 0

    def full(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(services, "start", full)
    telling = asyncio.create_task(services.keep(Running(tmp_path).config, full, every_s=0.01))
    while tries < 5 and not telling.done():
        await asyncio.sleep(0.01)
    assert not telling.done()
    telling.cancel()
