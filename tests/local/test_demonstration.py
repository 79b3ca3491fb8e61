"""The main job, as a newcomer runs it: everything real, the small model too."""

import re
from pathlib import Path

import pytest

from tests.local.running import ROOT, Running


@pytest.mark.timeout(400)
def test_the_demo_goes_from_nothing_to_a_report_a_mail_and_sleeping_agents(tmp_path):
    running = Running(tmp_path / "state")
    sources = str(ROOT / "examples/post-quantum")
    done = running.torpor(
        "demo", "--topic", "How large are ML-KEM keys?", "--depth", "2", "--sources", sources, time_limit_s=380
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    for step in ("planner", "research_assistant part 1", "validator", "aggregator", "formatter", "woken from zero"):
        assert step in said
    assert "8 of 8 agents are asleep; 0 agent processes are left" in said
    assert re.search(r"cost +[\d.]+ s, \d+ steps, \d+ tokens", said)
    page = Path(re.search(r"page +(\S+)", said)[1]).read_text()
    assert "ML-KEM" in page and "smollm2" in page.lower() and "<script" not in page
    mail = Path(re.search(r"mail +(\S+)", said)[1]).read_text()
    assert "/report/" in mail and "you@example.org" in mail
    assert running.processes() == []
