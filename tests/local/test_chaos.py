"""`torpor chaos`, as a user runs it: a scenario that is kept, one whose promise is broken, one that is interrupted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from eventing.chaos import disks
from eventing.local import preflight, processes
from inference.testing import FakeServer
from tests.local.running import ROOT, Running

SOURCES = ROOT / "examples" / "post-quantum"


def begun(state: Path, *arguments: str) -> subprocess.Popen[str]:
    environ = {**os.environ, "TORPOR_STATE": str(state), "TORPOR_PROJECT": str(ROOT), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-m", "eventing.cli", "chaos", *arguments, "--out", str(state / "out")]
    return subprocess.Popen(command, env=environ, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left(state: Path) -> list[str]:
    return [service.name for service in processes.leftovers(state / "out" / "platform")]


@pytest.mark.timeout(600)
def test_200_requests_outlive_whatever_dies_on_three_brokers(tmp_path: Path) -> None:
    running = begun(tmp_path, "quick", "--json", "--seed", "1")
    told, errors = running.communicate()
    report = json.loads(told)
    broken = [one for one in report["promises"] if not one["kept"]]
    assert (running.returncode, broken) == (0, []), errors[-3000:]
    assert (report["requests"], report["complete"]) == (200, 200)
    assert report["generations_per_key"] == 1.0 and report["call_keys"] >= 400
    assert {"agents", "agents at effects", "dispatcher", "broker", "redelivery"} <= {one["kind"] for one in report["faults"]}
    assert (tmp_path / "out" / "progress.svg").read_text().startswith("<svg")
    assert left(tmp_path) == []


STORES = """requests: 24
rate: 1.5
settle: 200
model: {tokens_per_second: 200}
faults:
  - {kind: store, how: errors, after: 2, lasts: 3}
  - {kind: disk, of: scheduler, after: 4, lasts: 3}
  - {kind: store, how: latency, after: 6, lasts: 3, delay: 1}
  - {kind: store, how: away, after: 10, lasts: 3}
  - {kind: disk, of: store, after: 14, lasts: 3}
"""


@pytest.mark.timeout(600)
@pytest.mark.skipif(not disks.POSSIBLE, reason="full disks can be played on Linux alone")
def test_a_store_that_fails_and_disks_that_are_full_cost_nothing_but_time(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text(STORES)
    running = begun(tmp_path, str(own), "--json", "--seed", "1")
    told, errors = running.communicate()
    report = json.loads(told)
    broken = [one for one in report["promises"] if not one["kept"]]
    assert (running.returncode, broken, report["complete"]) == (0, [], 24), errors[-3000:]
    struck = {one["kind"] for one in report["faults"]}
    assert struck == {"store errors", "store latency", "store away", "disk of store", "disk of scheduler"}
    assert any("says when to ask again" in one["name"] for one in report["promises"])
    assert report["generations_per_key"] == 1.0 and report["dead_letters"] == 0
    assert left(tmp_path) == []


@pytest.mark.timeout(300)
def test_requests_that_do_not_end_in_their_time_are_lost_and_that_exits_1(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("requests: 3\nrate: 3\nsettle: 0\nmodel: {tokens_per_second: 20}\n")  # takes longer than that
    running = begun(tmp_path, str(own))
    assert running.stdout is not None
    told = running.stdout.read()
    assert running.wait() == 1
    assert "BROKEN  nothing is lost: every request that was taken has ended" in told
    assert left(tmp_path) == []


@pytest.mark.timeout(300)
def test_an_interrupt_ends_faults_restores_the_model_and_still_reports(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("requests: 500\nrate: 1\nfaults:\n  - {kind: latency, after: 1, lasts: 600, delay: 1}\n")
    running = begun(tmp_path, str(own))
    assert running.stdout is not None
    for line in running.stdout:
        if "latency for" in line:
            break
    running.send_signal(signal.SIGINT)
    told, _ = running.communicate()
    assert running.returncode == 0, told
    assert "no more requests and faults" in told and "kept    nothing is lost" in told
    assert json.loads((tmp_path / "out" / "report.json").read_text())["requests"] < 500
    assert left(tmp_path) == []


@pytest.mark.timeout(300)
def test_the_platform_that_runs_is_struck_started_again_as_it_was_and_left_running(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    faults = "  - {kind: agents, after: 1, every: 1, times: 3}\n  - {kind: dispatcher, after: 3}\n"
    own.write_text(f"requests: 10\nrate: 4\nsettle: 120\nfaults:\n{faults}")
    with FakeServer() as model:
        running = Running(tmp_path / "state")
        done = running.torpor("up", "--detach", "--sources", str(SOURCES), TORPOR_MODEL_URL=model.url)
        assert done.returncode == 0, done.stdout + done.stderr
        try:
            was = preflight.running(running.config)
            options = ("--running", "--json", "--out", str(tmp_path / "out"))
            told = running.torpor("chaos", str(own), *options, time_limit_s=200)  # which knows neither model nor sources
            report = json.loads(told.stdout)
            assert (told.returncode, report["complete"]) == (0, 10), told.stdout + told.stderr
            assert "dispatcher" in {one["kind"] for one in report["faults"]}
            now = preflight.running(running.config)
            assert was and now and now.pid != was.pid and now.process
            assert str(SOURCES) in now.process.cmdline()
            running.completed(running.ask("Is it alive?"))
        finally:
            running.down()


def test_where_no_platform_runs_there_is_none_to_strike(tmp_path: Path) -> None:
    told = Running(tmp_path).torpor("chaos", "dispatcher", "--running")
    assert told.returncode != 0 and "no platform runs from" in told.stderr and "torpor up" in told.stderr
    assert "Traceback" not in told.stderr


@pytest.mark.timeout(600)
def test_what_a_killed_run_left_behind_is_ended_by_the_next(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("requests: 500\nrate: 1\nfaults:\n  - {kind: latency, after: 1, lasts: 600, delay: 1}\n")
    killed = begun(tmp_path, str(own))
    assert killed.stdout is not None
    next(line for line in killed.stdout if "latency for" in line)
    killed.kill()
    killed.wait()
    assert {"platform", "kafka", "kafka-2", "kafka-3", "scheduler", "chaos-model"} <= set(left(tmp_path))
    own.write_text("requests: 2\nrate: 2\n")
    told, _ = begun(tmp_path, str(own)).communicate()
    assert "ended the platform that a killed run left in" in told and "kept    nothing is lost" in told
    assert left(tmp_path) == []


def test_a_wrong_scenario_starts_nothing_and_exits_1_with_its_line(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("requests: 10\nfaults:\n  - {kind: flood}\n")
    running = begun(tmp_path, str(own))
    told, errors = running.communicate()
    assert running.returncode == 1 and f"{own}:3: faults.0.kind: Input should be" in errors
    assert told == "" and "Traceback" not in errors and not (tmp_path / "out").exists()
