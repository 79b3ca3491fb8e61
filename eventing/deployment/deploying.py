"""`func deploy` of each function, with the image that was pushed for it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from eventing.deployment import cluster, images
from eventing.deployment.errors import DeploymentError
from eventing.manifests.resources import NAMESPACE
from eventing.project import PACKAGE


def deploy(chosen: Sequence[str], say: images.Say) -> None:
    """Deploy functions of a sound project, once everything was found to be there.

    Raises:
        DeploymentError: what is missing, or which deployment failed.
    """
    wanted = [name for name in images.names(chosen) if name != images.SCHEDULER]
    if not shutil.which("func"):
        raise DeploymentError("func is missing: https://knative.dev/docs/functions/install-func/")
    there = images.pushed()
    if missing := [name for name in wanted if "@sha256:" not in there.get(name, "")]:
        raise DeploymentError(
            f"no image was pushed for {', '.join(missing)}: make images PUSH=1 REGISTRY=registry.example.com/team"
        )
    cluster.examine(NAMESPACE)
    for number, name in enumerate(wanted, 1):
        say(f"[{number}/{len(wanted)}] {name}: {there[name]}")
        if done := _deployed(name, there[name]):
            raise DeploymentError(f"{name}: `func deploy` ended with code {done}; the functions before it are deployed")


def _deployed(name: str, image: str) -> int:
    """The exit code of `func deploy`, which writes what it did into the folder that it is given: a copy."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.mkdir()
        shutil.copy(PACKAGE / "functions" / name / "func.yaml", path)
        command = ["func", "deploy", "--path", str(path), "--image", image, "--build=false", "--push=false"]
        return subprocess.run([*command, "--namespace", NAMESPACE], check=False).returncode
