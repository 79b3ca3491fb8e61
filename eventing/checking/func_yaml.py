"""The func.yaml of each function: what the platform and `func` need of it, and whether it agrees with the workflow."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from eventing.checking.problem import Problem
from eventing.project import PACKAGE
from eventing.texts import NoTextError, text_of
from eventing.workflow import Workflow, keys_again, line_of, no_such_key, no_yaml

_PROBES = {"liveness": "/health/liveness", "readiness": "/health/readiness"}
_MOST_PROCESSES = 1000
# Kubernetes' resource quantities (apimachinery, pkg/api/resource), without exponents.
_QUANTITY = re.compile(r"\d+(\.\d+)?([munkKMGTPE]|[KMGTPE]i)?")
_MAIN = "functions/main.py"
# By `func`, of each section; it ignores anything else (schema/func_yaml-schema.json of github.com/knative/func, v0.50).
_READ = {
    "": "specVersion name domain runtime registry registryInsecure image namespace deployer created invoke build run deploy",
    "run": "volumes envs startTimeout kafka",
    "deploy": "namespace image annotations options labels healthEndpoints serviceAccountName imagePullSecret deployer "
    "subscriptions managementDisabled",
    "deploy.healthEndpoints": "liveness readiness",
    "deploy.options": "scale resources",
    "deploy.options.scale": "min max metric target utilization",
    "deploy.options.resources": "requests limits",
    "deploy.options.resources.requests": "cpu memory",
    "deploy.options.resources.limits": "cpu memory concurrency",
}
KEYS = {tuple(section.split(".")) if section else (): keys.split() for section, keys in _READ.items()}


def check(project: Path, folder: Path, workflow: Workflow | None) -> Iterator[Problem]:
    """What is wrong with `folder`/func.yaml."""
    file = f"functions/{folder.name}/func.yaml"
    try:
        text = text_of(project / file)
    except NoTextError as error:
        yield Problem(file, 1, str(error))
        return
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        line, told = no_yaml(error)
        yield Problem(file, line, f"is no YAML: {told}")
        return
    again = list(keys_again(text))
    yield from (Problem(file, line, told) for line, told in again)
    if again:
        return
    if not isinstance(content, dict):
        yield Problem(file, 1, "must be a mapping with name, run and deploy; copy the one of another function")
        return
    for keys, what in (
        *_unknown(content),
        *_head(folder, content),
        *_environ(project, folder, content, workflow),
        *_scale(content),
        *_quantities(content),
    ):
        yield Problem(file, line_of(text, *keys), what)


Fault = tuple[tuple[str | int, ...], str]


def _unknown(content: dict[str, Any]) -> Iterator[Fault]:
    for section, known in KEYS.items():
        found = _at(content, *section)
        for key in found if isinstance(found, dict) else ():
            if key not in known:
                yield (*section, str(key)), f"{'.'.join((*section, str(key)))}: {no_such_key(str(key), known)}"


def _head(folder: Path, content: dict[str, Any]) -> Iterator[Fault]:
    wanted = folder.name.replace("_", "-")
    if content.get("name") != wanted:
        yield ("name",), f"name: must be {wanted}, the folder's name with dashes, got {content.get('name')!r}"
    if not content.get("specVersion"):
        yield (), "specVersion is missing; `func` needs it: specVersion: 0.36.0"
    if content.get("runtime") != "python":
        yield ("runtime",), f"runtime: must be python, got {content.get('runtime')!r}"
    probes = _at(content, "deploy", "healthEndpoints") or {}
    for name, path in _PROBES.items():
        if probes.get(name) != path:
            yield ("deploy", "healthEndpoints", name), f"deploy.healthEndpoints.{name}: must be {path}, which is served"


def _environ(project: Path, folder: Path, content: dict[str, Any], workflow: Workflow | None) -> Iterator[Fault]:
    envs = _at(content, "run", "envs")
    if not isinstance(envs, list):
        yield ("run",), "run.envs: must be a list of name and value, with FUNCTION_TARGET, FUNCTION_SOURCE, TORPOR_AGENT"
        return
    found = {e["name"]: (n, e.get("value")) for n, e in enumerate(envs) if isinstance(e, dict) and e.get("name")}
    for name, (n, value) in found.items():
        if not isinstance(value, str):
            yield ("run", "envs", n, "value"), f"{name}: must be text, write it in quotes: '{value}'"
    source = found.get("FUNCTION_SOURCE", (0, None))[1]
    wanted = {"FUNCTION_TARGET": "function", **({"TORPOR_AGENT": folder.name} if source == _MAIN else {})}
    for name, value in wanted.items():
        if found.get(name, (0, None))[1] != value:
            yield ("run", "envs", found[name][0], "value") if name in found else ("run", "envs"), f"{name}: must be {value}"
    if not source or not any((root / source).is_file() for root in (project, PACKAGE)):
        where = ("run", "envs", found["FUNCTION_SOURCE"][0], "value") if source else ("run", "envs")
        yield where, f"FUNCTION_SOURCE: there is no file {source}; an agent's is {_MAIN}"
    if workflow:
        yield from _time_limit(folder.name, found, workflow)


def _time_limit(name: str, found: dict[str, tuple[int, Any]], workflow: Workflow) -> Iterator[Fault]:
    limits = {step.time_limit.total_seconds(): step.name for step in workflow.steps if step.agent == name}
    if not limits:
        return
    most, (n, given) = max(limits), found.get("TORPOR_TIME_LIMIT_S", (None, None))
    try:
        seconds = float(given) if given is not None else 60.0
    except (TypeError, ValueError):
        yield ("run", "envs", n or 0, "value"), f"TORPOR_TIME_LIMIT_S: must be a number of seconds, got {given!r}"
        return
    if seconds != most:
        where = ("run", "envs") if n is None else ("run", "envs", n, "value")
        told = (
            f"TORPOR_TIME_LIMIT_S is {seconds:g}, but step {limits[most]} of the workflow has {most:g} s: write '{most:g}'"
        )
        yield where, told


def _scale(content: dict[str, Any]) -> Iterator[Fault]:
    options = ("deploy", "options")
    least, most = (_at(content, *options, "scale", key) or 0 for key in ("min", "max"))
    each = _at(content, *options, "resources", "limits", "concurrency")
    for key, value in (("min", least), ("max", most)):
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MOST_PROCESSES:
            told = f"must be a number of processes, {_MOST_PROCESSES} at the most, got {value!r}"
            yield (*options, "scale", key), f"deploy.options.scale.{key}: {told}"
            return
    if most and least > most:
        yield (*options, "scale", "min"), f"deploy.options.scale: min {least} is more than max {most}"
    if each is not None and (not isinstance(each, int) or each < 1):
        where = (*options, "resources", "limits", "concurrency")
        yield where, f"deploy.options.resources.limits.concurrency: must be a number of requests at a time, got {each!r}"


def _quantities(content: dict[str, Any]) -> Iterator[Fault]:
    for section in ("requests", "limits"):
        for key in ("cpu", "memory"):
            where = ("deploy", "options", "resources", section, key)
            if (value := _at(content, *where)) is not None and not _QUANTITY.fullmatch(str(value)):
                example = "500m or 2" if key == "cpu" else "512Mi or 2Gi"
                yield where, f"{'.'.join(where)}: must be a quantity such as {example}, got {value!r}"


def _at(content: Any, *keys: str) -> Any:
    for key in keys:
        content = content.get(key) if isinstance(content, dict) else None
    return content
