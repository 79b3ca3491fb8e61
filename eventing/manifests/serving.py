"""The Knative Service of a function, made from its func.yaml as `func deploy` makes it, for those who apply YAML instead."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from eventing.errors import ConfigurationError
from eventing.manifests.resources import NAMESPACE, Resource

PORT = 8080
SPARE_S = 5  # what Serving grants beyond a function's own time limit, so that the function can still say that it is over
LONGEST_S = 600  # Serving's own limit of a time-out
DEFAULT_LIMIT_S = 60.0
# Serving takes these on a revision alone, and func.yaml has no word for them; they are the cluster's settings too.
# No initial scale of zero: a revision whose image cannot run would be ready at once, and get all traffic.
SCALING = {
    "autoscaling.knative.dev/scale-to-zero-pod-retention-period": "60s",
    "autoscaling.knative.dev/target-burst-capacity": "-1",
}
RESTRICTED: Resource = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_PLACE = re.compile(r"\{\{\s*(secret|configMap):([\w.-]+):([\w.-]+)\s*\}\}")


def service(folder: Path, image: str) -> Resource:
    """The Service of the function in a folder.

    Raises:
        ConfigurationError: its func.yaml says something that has no place in a Service.
    """
    func = yaml.safe_load((folder / "func.yaml").read_text())
    deploy, run = func["deploy"], func["run"]
    options = deploy["options"]
    limits = dict(options["resources"]["limits"])
    concurrency = limits.pop("concurrency", 0)
    labels = {one["key"]: one["value"] for one in deploy.get("labels", ())} | {"function.knative.dev/name": func["name"]}
    container: Resource = {
        "image": image,
        "env": list(_environ(folder, run["envs"])),
        "ports": [{"containerPort": PORT}],
        "resources": {"requests": options["resources"]["requests"], "limits": limits},
        **{f"{name}Probe": {"httpGet": {"path": path, "port": 0}} for name, path in deploy["healthEndpoints"].items()},
        "securityContext": RESTRICTED,
    }
    spec: Resource = {
        "containerConcurrency": concurrency,
        "timeoutSeconds": _time_out(run["envs"]),
        "serviceAccountName": deploy["serviceAccountName"],
        "enableServiceLinks": False,
        "containers": [container],
    }
    for number, one in enumerate(run.get("volumes", ())):
        name = f"volume-{number}"
        container.setdefault("volumeMounts", []).append({"name": name, "mountPath": one["path"]})
        spec.setdefault("volumes", []).append({"name": name, "emptyDir": one["emptyDir"]})
    annotations = SCALING | _scale(options["scale"]) | deploy.get("annotations", {})
    return {
        "apiVersion": "serving.knative.dev/v1",
        "kind": "Service",
        "metadata": {"name": func["name"], "namespace": NAMESPACE, "labels": labels},
        "spec": {"template": {"metadata": {"labels": labels, "annotations": annotations}, "spec": spec}},
    }


def _time_out(envs: list[Mapping[str, Any]]) -> int:
    given = next((one["value"] for one in envs if one["name"] == "TORPOR_TIME_LIMIT_S"), DEFAULT_LIMIT_S)
    return min(LONGEST_S, round(float(given)) + SPARE_S)


def _scale(scale: Mapping[str, Any]) -> dict[str, str]:
    named = {"min": "min-scale", "max": "max-scale", "metric": "metric", "target": "target"}
    return {f"autoscaling.knative.dev/{named[key]}": str(value) for key, value in scale.items() if key in named}


def _environ(folder: Path, envs: list[Mapping[str, Any]]) -> Iterator[Resource]:
    for one in envs:
        name, value = one["name"], one["value"]
        if "{{" not in value:
            yield {"name": name, "value": value}
            continue
        if not (found := _PLACE.fullmatch(value.strip())):
            places = "'{{ secret:NAME:KEY }}' or '{{ configMap:NAME:KEY }}'"
            raise ConfigurationError(f"{folder / 'func.yaml'}: {name}: {value!r} must be text, {places}")
        kind, source, key = found.groups()
        yield {"name": name, "valueFrom": {f"{kind}KeyRef": {"name": source, "key": key}}}
