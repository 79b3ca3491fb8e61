"""podman, docker or buildah: the one that works here."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eventing.deployment.errors import DeploymentError

KNOWN = ("podman", "docker", "buildah")


@dataclass(frozen=True)
class Engine:
    """A program that builds images, with the options it is always given."""

    command: tuple[str, ...]
    build_options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return Path(self.command[0]).name

    def build(self, target: str, tag: str, arguments: Mapping[str, str], folder: Path) -> None:
        """Build one target of functions/Containerfile.

        Raises:
            DeploymentError: it failed; what it said went to the terminal.
        """
        given = [f"--build-arg={name}={value}" for name, value in arguments.items()]
        layers = ["--layers"] if self.name == "buildah" else []
        command = ["build", "--file", "functions/Containerfile", "--target", target, "--tag", tag, *layers, *given]
        self._run([*command, *self.build_options, "."], folder)

    def push(self, tag: str, digest_file: Path) -> str:
        """Push an image; its name with its digest.

        Raises:
            DeploymentError: it failed: no such registry, or no right to write there.
        """
        if self.name == "docker":
            self._run(["push", tag], Path.cwd())
            shown = subprocess.run(
                [*self.command, "image", "inspect", "--format", "{{index .RepoDigests 0}}", tag],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            return shown.stdout.strip()
        self._run(["push", "--digestfile", str(digest_file), tag], Path.cwd())
        return f"{tag.rpartition(':')[0]}@{digest_file.read_text().strip()}"

    def _run(self, arguments: Sequence[str], folder: Path) -> None:
        command = [*self.command, *arguments]
        if done := subprocess.run(command, cwd=folder, check=False).returncode:
            hint = "" if arguments[0] != "push" else f": is the registry right, and are you logged in ({self.name} login)?"
            raise DeploymentError(f"`{shlex.join(command)}` ended with code {done}{hint}")


def find(environ: Mapping[str, str]) -> Engine:
    """The engine that TORPOR_ENGINE names, with its options, or the first that is there and works.

    Raises:
        DeploymentError: there is none.
    """
    options = tuple(shlex.split(environ.get("TORPOR_BUILD_OPTIONS", "")))
    if named := shlex.split(environ.get("TORPOR_ENGINE", "")):
        if Path(named[0]).name not in KNOWN or not shutil.which(named[0]):
            raise DeploymentError(f"TORPOR_ENGINE must be one of {', '.join(KNOWN)} and on the PATH, got {named[0]!r}")
        return Engine(tuple(named), options)
    tried = []
    for name in KNOWN:
        if not shutil.which(name):
            tried.append(f"{name} is not there")
            continue
        shown = subprocess.run([name, "info"], capture_output=True, text=True, check=False)
        if shown.returncode == 0:
            return Engine((name,), options)
        last = (shown.stderr.strip().splitlines() or [f"`{name} info` ended with code {shown.returncode}"])[-1]
        tried.append(f"{name} does not work: {last}")
    raise DeploymentError(f"nothing builds images here ({'; '.join(tried)}); install podman, docker or buildah")
