"""Service processes: real ones, found again, told from others, and ended with all that they started."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from eventing.local import processes
from eventing.local.errors import ServiceError

SLEEP = [sys.executable, "-c", "print('awake', flush=True); import time; time.sleep(60)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)",
]
PARENT = [
    sys.executable,
    "-c",
    "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']);"
    "print(p.pid, flush=True); time.sleep(60)",
]


def said(service: processes.Service) -> str:
    end = time.monotonic() + 10
    while not service.log.read_text().strip():
        assert time.monotonic() < end, "it says nothing"
        time.sleep(0.02)
    return service.log.read_text().strip()


def test_a_process_has_a_session_a_log_and_a_record_and_is_found_again(tmp_path: Path) -> None:
    service = processes.start(tmp_path, "sleeper", SLEEP, os.environ)
    try:
        assert said(service) == "awake"
        assert os.getsid(service.pid) == service.pid
        assert processes.find(tmp_path, "sleeper") == service
        assert [one.name for one in processes.leftovers(tmp_path)] == ["sleeper"]
        assert processes.find(tmp_path / "elsewhere", "sleeper") is None
    finally:
        processes.stop(service)
    assert not psutil.pid_exists(service.pid)
    assert processes.find(tmp_path, "sleeper") is None
    processes.stop(service)


def test_a_recycled_pid_is_nobody_of_ours(tmp_path: Path) -> None:
    mine = processes.record(tmp_path, "platform", os.getpid())
    assert mine.alive
    path = tmp_path / "run" / "platform.json"
    path.write_text(json.dumps({"pid": os.getpid(), "created": mine.created - 5, "command": []}))
    assert processes.find(tmp_path, "platform") is None
    assert list(processes.leftovers(tmp_path)) == []


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"pid": "x", "created": 1}', "\x00"])
def test_a_broken_record_is_no_record(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "kafka.json").write_text(content)
    assert processes.find(tmp_path, "kafka") is None
    assert processes.adopt(tmp_path, "kafka", SLEEP) is None


def test_only_what_was_started_in_the_same_way_is_adopted(tmp_path: Path) -> None:
    service = processes.start(tmp_path, "sleeper", SLEEP, os.environ)
    assert processes.adopt(tmp_path, "sleeper", SLEEP) == service
    assert processes.adopt(tmp_path, "sleeper", [*SLEEP, "--other"]) is None
    assert not service.alive


def test_stop_kills_what_does_not_listen(tmp_path: Path) -> None:
    service = processes.start(tmp_path, "deaf", DEAF, os.environ)
    said(service)
    begun = time.monotonic()
    processes.stop(service, grace_s=0.3)
    assert not service.alive
    assert time.monotonic() - begun < 30


def test_stop_ends_the_children_too(tmp_path: Path) -> None:
    service = processes.start(tmp_path, "parent", PARENT, os.environ)
    child = psutil.Process(int(said(service)))
    processes.stop(service)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


def test_forget_leaves_the_record_of_a_successor(tmp_path: Path) -> None:
    first = processes.Service("platform", 1, 0.0, tmp_path)
    second = processes.record(tmp_path, "platform", os.getpid())
    processes.forget(first)
    assert processes.find(tmp_path, "platform") == second
    processes.forget(second)
    assert processes.find(tmp_path, "platform") is None


def test_waiting_ends_with_the_last_words_of_a_process_that_dies(tmp_path: Path) -> None:
    service = processes.start(tmp_path, "brief", [sys.executable, "-c", "print('no luck'); raise SystemExit(3)"], os.environ)
    with pytest.raises(ServiceError, match=r"(?s)the brief one ended while it was starting.*no luck"):
        processes.wait(service, "the brief one", lambda: False, 30, lambda *_: None)


def test_waiting_ends_in_time_and_says_that_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "_SAY_EVERY_S", 0.1)
    told: list[str] = []
    service = processes.start(tmp_path, "sleeper", SLEEP, os.environ)
    with pytest.raises(ServiceError, match="did not answer within"):
        processes.wait(service, "the sleeper", lambda: False, 0.4, lambda _, doing, __: told.append(doing))
    assert not service.alive
    assert told and "not up yet" in told[0]


def test_a_killed_process_is_no_leftover(tmp_path: Path) -> None:
    service = processes.start(tmp_path, "sleeper", SLEEP, os.environ)
    os.kill(service.pid, signal.SIGKILL)
    end = time.monotonic() + 5
    while service.alive and time.monotonic() < end:
        time.sleep(0.01)
    assert list(processes.leftovers(tmp_path)) == []
    processes.stop(service)
