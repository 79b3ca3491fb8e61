"""What is said before anything is started, and who may start."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import pytest

from eventing.local import ports, preflight, processes
from eventing.local.config import Config, Ports
from eventing.local.errors import PreflightError

HOLDER = """
import sys, time
from pathlib import Path
from eventing.local import preflight
from eventing.local.config import Config
folder = Path(sys.argv[1])
with preflight.claim(Config(folder, folder, folder)):
    print("mine", flush=True)
    time.sleep(60)
"""
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    state, cache = tmp_path / "state", tmp_path / "cache"
    return Config(project=tmp_path, manifests=tmp_path, state=state, cache=cache, ports=Ports(*ports.unused(7)))


def problems(config: Config) -> list[str]:
    try:
        preflight.check(config)
    except PreflightError as error:
        return error.problems
    return []


def test_a_machine_that_has_everything_is_told_nothing(config: Config) -> None:
    assert problems(config) == []


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_taken_port_is_named_with_its_service_and_its_holder(config: Config, address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as taken:
        try:
            taken.bind((address, config.ports.smtp))
        except OSError:
            pytest.skip("no IPv6 here")
        taken.listen()
        [problem] = problems(config)
    assert problem.startswith(f"port {config.ports.smtp} (smtp) is taken by ")
    assert "TORPOR_PORT" in problem
    if sys.platform == "linux":
        assert f"(pid {os.getpid()})" in problem


def test_every_problem_is_said_at_once(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 10**8))
    monkeypatch.setattr(preflight, "NEEDED_PYTHON", (4, 0))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", config.ports.gateway))
        taken.listen()
        old, disk, port = problems(config)
    assert "is too old: Torpor needs 4.0 or newer" in old
    assert "100 MB of the disk are free, but the first download in" in disk and "need 750 MB" in disk
    assert "(gateway)" in port


def test_with_a_model_server_of_ones_own_no_model_is_fetched(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(10**9, 10**9, 5 * 10**8))
    assert len(problems(config)) == 1
    assert problems(replace(config, model_url="http://127.0.0.1:1/v1")) == []


def test_a_folder_that_cannot_be_written_is_named(config: Config) -> None:
    config.state.write_text("a file")
    [problem] = problems(config)
    assert problem.startswith(f"the state folder {config.state} cannot be written") and "TORPOR_STATE" in problem


def test_one_port_for_two_services_is_refused(config: Config) -> None:
    twice = replace(config, ports=replace(config.ports, smtp=config.ports.model))
    assert problems(twice) == [f"port {config.ports.model} is given to 2 services: each needs one of its own"]


def test_of_two_starts_at_once_the_second_is_refused(config: Config) -> None:
    refused = pytest.raises(PreflightError, match=r"another platform is starting from .*: use it")
    with preflight.starting(config), refused, preflight.starting(config):
        pass
    with preflight.starting(config):
        assert preflight.running(config) is None


def test_a_second_platform_is_refused_with_the_pid_of_the_first(config: Config) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(config.state)], stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"mine\n"
        [problem] = problems(config)
        assert f"runs already from {config.state} (pid {holder.pid})" in problem and "torpor down" in problem
        with pytest.raises(PreflightError, match=f"pid {holder.pid}"), preflight.claim(config):
            pass
    finally:
        holder.send_signal(signal.SIGKILL)
        holder.communicate()
    assert problems(config) == []
    with preflight.claim(config):
        assert preflight.running(config) == processes.find(config.state, "platform") is not None
    assert preflight.running(config) is None
