"""What a first event needs is there before it where a function was awake for a moment."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from eventing.function import prepare_soon
from eventing.runtime import Runtime
from tests.local.running import ROOT

ASKED = """
import sys, time
import functions.main
for _ in range(200):
    if {"obstore", "rank_bm25"} <= set(sys.modules):
        sys.exit(0)
    time.sleep(0.1)
sys.exit("neither the bucket's client nor what the agent names was loaded")
"""


def test_an_agent_that_is_awake_loads_what_its_first_event_needs() -> None:
    served = {"K_SERVICE": "research-assistant", "TORPOR_AGENT": "research_assistant"}
    known = {"TORPOR_STORE": "s3://torpor", "TORPOR_INGRESS": "http://127.0.0.1:1/torpor", "AWS_REGION": "here"}
    environ = {**os.environ, **served, **known}
    done = subprocess.run([sys.executable, "-c", ASKED], env=environ, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_nothing_is_prepared_where_nothing_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    called = threading.Event()
    monkeypatch.delenv("K_SERVICE", raising=False)
    prepare_soon(called.set)
    assert not called.wait(0.5)
    monkeypatch.setenv("K_SERVICE", "it")
    prepare_soon(called.set)
    assert called.wait(10)


def test_what_is_missing_in_the_environment_is_left_for_the_first_event_to_tell(tmp_path: Path) -> None:
    Runtime({}).prepare()
    Runtime({"TORPOR_WORKFLOW": str(tmp_path / "none.yaml")}).prepare()
