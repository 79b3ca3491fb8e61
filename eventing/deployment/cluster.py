"""Whether a cluster can take the functions, asked before anything is changed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

from eventing.deployment.errors import DeploymentError

_NEEDED = {
    "services.serving.knative.dev": "Knative Serving",
    "brokers.eventing.knative.dev": "Knative Eventing",
    "kafkasources.sources.knative.dev": "Knative Eventing's Kafka parts",
}
_MAY = ("create", "update", "get")


def examine(namespace: str) -> None:
    """Look at the cluster of the current kubeconfig.

    Raises:
        DeploymentError: naming everything that is missing.
    """
    if not shutil.which("kubectl"):
        raise DeploymentError("kubectl is missing: https://kubernetes.io/docs/tasks/tools/")
    reached = _kubectl("version", "--output=json", "--request-timeout=10s")
    if reached.returncode:
        raise DeploymentError(f"no cluster is reached by the current kubeconfig: {_last(reached.stderr)}")
    if missing := list(_missing(namespace)):
        raise DeploymentError("the cluster cannot take the functions: " + "; ".join(missing))


def _missing(namespace: str) -> Iterator[str]:
    served = set(_kubectl("api-resources", "--output=name").stdout.split())
    for resource, what in _NEEDED.items():
        if resource not in served:
            yield f"{what} is not installed (no {resource}; docs/terraform.md)"
    if _kubectl("get", "namespace", namespace).returncode:
        yield f"there is no namespace {namespace} (kubectl apply -f eventing/manifests/research/namespace.yaml)"
    for verb in _MAY:
        if _kubectl("auth", "can-i", verb, "services.serving.knative.dev", "--namespace", namespace).returncode:
            yield f"you may not {verb} Knative Services in namespace {namespace}"


def _kubectl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["kubectl", *arguments], capture_output=True, text=True, check=False)


def _last(text: str) -> str:
    return (text.strip().splitlines() or ["kubectl said nothing"])[-1]
