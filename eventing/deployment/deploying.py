"""`func deploy` of each function, with the image that was pushed for it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence

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
        command = ["func", "deploy", "--path", f"functions/{name}", "--image", there[name], "--build=false", "--push=false"]
        if done := subprocess.run([*command, "--namespace", NAMESPACE], cwd=PACKAGE, check=False).returncode:
            raise DeploymentError(f"{name}: `func deploy` ended with code {done}; the functions before it are deployed")
