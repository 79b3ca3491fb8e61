"""The cluster that the tests run on, as the environment describes it (docs/knative.md, "Tests on a cluster")."""

from __future__ import annotations

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.cluster.program import Kubectl

WANTED = {
    "TORPOR_TEST_KUBECONFIG": "the kubeconfig of a cluster for tests",
    "TORPOR_TEST_GATEWAY": "the URL of Serving's ingress gateway, reached from here",
    "TORPOR_TEST_HOST": "an address of this machine that pods reach",
    "TORPOR_TEST_REGISTRY": "the registry and path that images are named by",
    "TORPOR_TEST_LOAD": "a command that puts the images named after it where the cluster finds them",
}


@dataclass(frozen=True)
class Place:
    """A cluster with Knative Serving, and the ways between it and this machine."""

    kubeconfig: str
    gateway: str
    host: str
    registry: str
    load: tuple[str, ...]
    base: str  # image with Python that images are built on; empty: the Containerfile's own
    tag: str  # of images that were brought before; empty: they are built

    @classmethod
    def given(cls) -> Place:
        """The one that the environment names; without it the test is skipped."""
        if missing := [f"{name} ({what})" for name, what in WANTED.items() if not os.environ.get(name)]:
            pytest.skip(f"not set: {', '.join(missing)}")
        kubeconfig, gateway, host, registry, load = (os.environ[name] for name in WANTED)
        base, tag = (os.environ.get(name, "") for name in ("TORPOR_TEST_BASE", "TORPOR_TEST_TAG"))
        return cls(kubeconfig, gateway, host, registry, tuple(shlex.split(load)), base, tag)

    def bring(self, image: str) -> None:
        """Put an image that was built here where the cluster finds it."""
        subprocess.run([*self.load, image], check=True, capture_output=True, timeout=300)


def define(kubectl: Kubectl) -> None:
    """Apply the resource definitions of TORPOR_TEST_CRDS, if it is set; what somebody else put there stays as it is."""
    definitions = os.environ.get("TORPOR_TEST_CRDS")
    if not definitions:
        return
    files = sorted(Path(definitions).glob("*.yaml"))
    assert files, f"TORPOR_TEST_CRDS: no *.yaml in {definitions}"
    there = set(kubectl.run("get", "crd", "-o", "name").split())
    for file in files:
        wanted = yaml.safe_load(file.read_text())
        name = f"customresourcedefinition.apiextensions.k8s.io/{wanted['metadata']['name']}"
        if name in there:
            continue
        # The webhook that converts between versions is a part of what these definitions are there without.
        wanted["spec"].pop("conversion", None)
        kubectl.apply(wanted)
