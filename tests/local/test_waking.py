"""Waking ahead on a whole platform: who will be needed is awake by then, and nobody else wakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from eventing.local.asking import ask
from tests.local.running import LIMIT_S, ROOT, Running, until

RESEARCH = ROOT / "eventing/workflows/research.yaml"


@pytest.fixture
def platform(tmp_path: Path):
    project = tmp_path / "project"
    (project / "functions").mkdir(parents=True)
    for agent in ROOT.glob("functions/*/func.yaml"):
        (project / "functions" / agent.parent.name).symlink_to(agent.parent)
    (project / "research.yaml").write_text(RESEARCH.read_text() + "\nprewake: true\n")
    running = Running(tmp_path / "state", {"TORPOR_PROJECT": str(project), "TORPOR_IDLE_S": "60"})
    running.up()
    yield running
    running.down()


def woken(running: Running) -> dict[str, int]:
    found = ask(f"http://127.0.0.1:{running.ports.platform}/platform/ps", LIMIT_S).json()["functions"]
    return {name: row["wakes"] for name, row in found.items() if row["wakes"]}


def test_a_request_that_ends_early_wakes_only_who_has_something_to_do(platform: Running) -> None:
    """Without a collection there is nothing to validate: the part is abandoned, and the validator sleeps on."""
    request = platform.ask("sleep")
    assert platform.ended(request)["status"] != "running"
    needed = {"gateway", "planner", "research-assistant", "aggregator", "formatter", "notifier", "tracker"}
    until(lambda: set(woken(platform)) >= needed, "all have something to do", 30)
    assert set(woken(platform)) == needed
    touched = ask(f"http://127.0.0.1:{platform.ports.platform}/functions/validator/health/readiness", LIMIT_S)
    assert (touched.status, touched.data) == (200, b"ok\n")
    assert "validator" in woken(platform)
    unknown = ask(f"http://127.0.0.1:{platform.ports.platform}/functions/nobody/health/readiness", LIMIT_S)
    assert unknown.status == 404
