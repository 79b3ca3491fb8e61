"""Images and deployment: what is missing is said before anything is built or changed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from eventing.deployment import engines, images
from eventing.deployment.errors import DeploymentError

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+?)(?: ; (.*?))?(?: \\)?$")


def deployment(*arguments: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eventing.deployment", *arguments]
    return subprocess.run(command, cwd=ROOT, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["images", "nobody", "--registry", "r"], "there is no function 'nobody'; there are aggregator, formatter, gateway"),
        (["images", "validator"], "name the registry: make images REGISTRY="),
        (["deploy", "validator"], "func is missing: https://"),
    ],
)
def test_what_is_missing_is_said_without_a_traceback(tmp_path: Path, arguments: list[str], told: str) -> None:
    program(tmp_path, "podman", "exit 0")
    done = deployment(*arguments, path=tmp_path)
    assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr


def test_every_engine_that_cannot_be_used_is_named_with_the_reason(tmp_path: Path) -> None:
    program(tmp_path, "docker", "echo 'Cannot connect to the Docker daemon' >&2; exit 1")
    done = deployment("images", "--registry", "r", path=tmp_path)
    assert done.returncode == 1
    assert (
        "podman is not there; docker does not work: Cannot connect to the Docker daemon; buildah is not there" in done.stderr
    )


def test_the_first_engine_that_works_is_taken_unless_one_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "docker", "exit 1")
    program(tmp_path, "buildah", "exit 0")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert engines.find({}).command == ("buildah",)
    named = engines.find({"TORPOR_ENGINE": "docker --tls", "TORPOR_BUILD_OPTIONS": "--network host"})
    assert (named.command, named.build_options) == (("docker", "--tls"), ("--network", "host"))
    with pytest.raises(DeploymentError, match="TORPOR_ENGINE must be one of podman, docker, buildah"):
        engines.find({"TORPOR_ENGINE": "make"})


def test_a_build_that_fails_says_which_command_it_was(tmp_path: Path) -> None:
    program(tmp_path, "podman", '[ "$1" = info ]')
    done = deployment("images", "validator", "--registry", "r.example", "--tag", "7", path=tmp_path)
    assert done.returncode == 1
    assert "podman build --file functions/Containerfile --target agent --tag r.example/validator:7" in done.stderr
    assert "--build-arg=AGENT=validator" in done.stderr and "ended with code 1" in done.stderr


def test_a_function_is_named_as_a_folder_or_as_a_service() -> None:
    assert images.names(["research-assistant"]) == images.names(["research_assistant"]) == ["research_assistant"]
    assert images.names([])[-1] == "scheduler"


def test_images_hold_the_packages_of_the_projects_own_lock() -> None:
    def pins(file: str) -> set[tuple[str, ...]]:
        found = (PIN.match(line) for line in (ROOT / file).read_text().splitlines())
        return {(one[1], one[2]) for one in found if one}

    assert pins("functions/requirements.lock") <= pins("requirements.lock")
    named = {line for line in (ROOT / "functions/requirements.in").read_text().split() if re.fullmatch("[a-z0-9-]+", line)}
    assert {"pydantic", "functions-framework", "cloudevents"} <= named
