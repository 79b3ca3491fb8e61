"""Images and deployment: what is missing is said before anything is built or changed."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eventing.deployment import cluster, deploying, engines, images
from eventing.deployment.errors import DeploymentError

ROOT = Path(__file__).parents[2]
PIN = re.compile(r"^([a-z0-9-]+)==(\S+?)(?: ; (.*?))?(?: \\)?$")


def deployment(*arguments: str, path: Path, checkout: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "eventing.deployment", *arguments]
    return subprocess.run(command, cwd=checkout, env={"PATH": str(path)}, capture_output=True, text=True, check=False)


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


def test_a_registry_that_takes_nothing_is_told_with_what_may_be_the_cause(tmp_path: Path) -> None:
    program(tmp_path, "podman", '[ "$1" != push ]')
    done = deployment("images", "validator", "--registry", "r.example", "--push", path=tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "podman push" in done.stderr and "are you logged in (podman login)?" in done.stderr


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what images are made of."""
    copied = tmp_path_factory.mktemp("checkout")
    for room in ("schemas", "eventing", "inference", "functions"):
        shutil.copytree(ROOT / room, copied / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", copied)
    return copied


def _without_folder(checkout: Path) -> None:
    shutil.rmtree(checkout / "functions" / "validator")


def _without_entry(checkout: Path) -> None:
    (checkout / "functions" / "validator" / "agent.py").unlink()


def _a_name_twice(checkout: Path) -> None:
    file = checkout / "functions" / "planner" / "func.yaml"
    file.write_text(file.read_text().replace("name: planner\n", "name: validator\n"))


@pytest.mark.parametrize("what", ["images", "deploy"])
@pytest.mark.parametrize(
    ("damaged", "told"),
    [
        (_without_folder, "validator"),
        (_without_entry, "functions/validator:1: has no agent.py"),
        (_a_name_twice, "functions/planner/func.yaml:2: name: must be planner"),
    ],
)
def test_agents_that_cannot_work_are_told_before_anything_is_built_or_deployed(
    tmp_path: Path, checkout: Path, what: str, damaged: Callable[[Path], None], told: str
) -> None:
    copied = shutil.copytree(checkout, tmp_path / "checkout")
    damaged(copied)
    for name in ("podman", "func", "kubectl"):
        program(tmp_path, name, f'echo "$@" >> {tmp_path}/called')
    done = deployment(what, "--registry", "r.example", path=tmp_path, checkout=copied)
    assert done.returncode == 1 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path / "called").exists()


LINES = r"services.serving.knative.dev\nbrokers.eventing.knative.dev\nkafkasources.sources.knative.dev\n"


@pytest.mark.parametrize(
    ("kubectl", "told"),
    [
        ("echo 'no route to host' >&2; exit 1", "no cluster is reached by the current kubeconfig: no route to host"),
        ('[ "$1" != api-resources ]', "Knative Serving is not installed (no services.serving.knative.dev"),
        (f'printf "{LINES}" | grep -v kafka', "Knative Eventing's Kafka parts is not installed"),
        (f'printf "{LINES}"; [ "$2" != namespace ]', "there is no namespace torpor"),
        (f'printf "{LINES}"; [ "$1" != auth ]', "you may not create Knative Services in namespace"),
    ],
    ids=["no cluster", "no Serving", "no Kafka parts", "no namespace", "no rights"],
)
def test_a_cluster_that_cannot_take_them_is_told_before_anything_is_deployed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kubectl: str, told: str
) -> None:
    program(tmp_path, "kubectl", kubectl)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(DeploymentError, match=re.escape(told)):
        cluster.examine("torpor")


def test_what_func_writes_down_while_it_deploys_does_not_change_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = ROOT / "functions" / "validator" / "func.yaml"
    before = written.read_bytes()
    program(tmp_path, "func", f'cp "$3/func.yaml" {tmp_path}/given && echo "namespace: torpor" >> "$3/func.yaml"')
    program(tmp_path, "kubectl", f'printf "{LINES}"')
    monkeypatch.setattr(images, "pushed", lambda: {"validator": "r.example/validator@sha256:0"})
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    deploying.deploy(["validator"], lambda _: None)
    assert (tmp_path / "given").read_bytes() == before
    assert written.read_bytes() == before


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
