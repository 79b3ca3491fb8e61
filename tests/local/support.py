"""What the tests of the local platform have in common: a project of small functions, resources as YAML, waiting."""

from __future__ import annotations

import asyncio
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import yaml

from eventing.envelope import Event

_PROBES = """
import asyncio, json, os, sys, time
import functions_framework.aio
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

async def handle(request): ...
"""

_SERVED = """

@functions_framework.aio.http
async def function(request):
    if request.url.path.startswith("/health/"):
        return Response(status_code=200)
    return await handle(request)
"""


def write_function(
    project: Path, name: str, handle: str, *, scale: dict[str, int] | None = None, concurrency: int = 8
) -> None:
    """A function of the project; `handle` is the source of `async def handle(request)`."""
    folder = project / "functions" / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_text(_PROBES + textwrap.dedent(handle) + _SERVED)
    envs = [
        {"name": "FUNCTION_TARGET", "value": "function"},
        {"name": "FUNCTION_SOURCE", "value": f"functions/{name}/main.py"},
    ]
    options = {"scale": scale or {}, "resources": {"limits": {"concurrency": concurrency}}}
    content = {"specVersion": "0.36.0", "name": name, "run": {"envs": envs}, "deploy": {"options": options}}
    (folder / "func.yaml").write_text(yaml.safe_dump(content))


def topic(name: str, partitions: int = 1) -> dict[str, Any]:
    metadata = {"name": name.replace("_", "-"), "namespace": "torpor"}
    spec = {"topicName": name, "partitions": partitions, "config": {"retention.ms": 604800000}}
    return {"apiVersion": "kafka.strimzi.io/v1", "kind": "KafkaTopic", "metadata": metadata, "spec": spec}


def broker(topic: str) -> dict[str, Any]:
    annotations = {"eventing.knative.dev/broker.class": "Kafka", "kafka.eventing.knative.dev/external.topic": topic}
    metadata = {"name": topic.replace("_", "-"), "namespace": "torpor", "annotations": annotations}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "metadata": metadata, "spec": {}}


def trigger(name: str, topic: str, subscriber: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "torpor", "annotations": spec.pop("annotations", {})}
    spec = {"broker": topic.replace("_", "-"), "subscriber": subscriber, **spec}
    return {"apiVersion": "eventing.knative.dev/v1", "kind": "Trigger", "metadata": metadata, "spec": spec}


def service(name: str) -> dict[str, Any]:
    return {"ref": {"apiVersion": "serving.knative.dev/v1", "kind": "Service", "name": name}}


def to_broker(topic: str) -> dict[str, Any]:
    return {"ref": {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": topic.replace("_", "-")}}


def write_manifests(folder: Path, *resources: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "all.yaml").write_text(yaml.safe_dump_all(resources))
    return folder


def event(type: str = "tested", data: bytes | None = b"{}", **attributes: str) -> Event:
    fixed = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/tests",
        "type": type,
        "time": "2026-11-01T12:00:00+00:00",
        "datacontenttype": "application/json",
    }
    return Event(fixed | attributes, data)


async def until(true: Callable[[], Any], limit_s: float = 10.0) -> None:
    """Wait until `true()` is."""
    end = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < end, f"did not come true within {limit_s} s"
        await asyncio.sleep(0.01)
