"""The scheduler in front of the model server: a process of its own, which the next platform adopts."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import yaml

from eventing.local import environment, model_server, ports, processes
from eventing.local.asking import UnansweredError, ask
from eventing.local.config import Config, Progress
from eventing.local.errors import ServiceError

NAME = "scheduler"
START_LIMIT_S = 30.0
ADOPT_LIMIT_S = 10.0
# What a server calls itself in GET /v1/models tells how it continues a broken answer.
_KINDS = {"vllm": ("vllm", 64), "llamacpp": ("llama.cpp", 4)}


def start(config: Config, progress: Progress) -> processes.Service:
    """Start the scheduler over the model server that the configuration names, or adopt it.

    Raises:
        ServiceError: when it does not come up, its port is taken, its pools' file is wrong, or one's own server is away.
    """
    command = _command(config, _pools(config))
    address = f"127.0.0.1:{config.ports.scheduler}"
    if (running := processes.adopt(config.state, NAME, command)) is not None:
        progress(NAME, f"the scheduler runs already on {address} (pid {running.pid}): adopted", None)
        with contextlib.suppress(ServiceError):  # it was dying, or hung: it is stopped now
            return _ready(running, config, progress, ADOPT_LIMIT_S)
    if problem := ports.conflict(config.ports.scheduler, "scheduler"):
        raise ServiceError(f"the scheduler cannot be started: {problem}")
    progress(NAME, f"starting the scheduler on {address}", None)
    environ = {**os.environ, **environment.of_platform(config)}
    if key := os.environ.get("TORPOR_MODEL_KEY"):
        environ["TORPOR_MODEL_KEY"] = key
    return _ready(processes.start(config.state, NAME, command, environ, model_server.ROOT), config, progress)


def stop(config: Config) -> None:
    """Stop the scheduler, if it runs; what its model calls said so far is in its journal."""
    if (running := processes.find(config.state, NAME)) is not None:
        processes.stop(running)


def generating(config: Config) -> bool:
    """Whether a model server works on a call, as the scheduler says: what it says is bought."""
    try:
        answer = ask(f"http://127.0.0.1:{config.ports.scheduler}/state")
        return any(server["in_flight"] > 0 for server in json.loads(answer.data)["servers"])
    except (UnansweredError, ValueError, KeyError, TypeError):
        return False


def _pools(config: Config) -> Path:
    """The pools' file: one's own, or one written for the one server there is. Another content is another file."""
    if config.pools:
        return config.pools
    text = yaml.safe_dump({"pools": [_pool(config)]}, sort_keys=False)
    path = config.state / f"pools-{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"# Written by `torpor up`; name a file of your own in TORPOR_POOLS (docs/models.md).\n{text}")
    return path


def _pool(config: Config) -> dict[str, Any]:
    if not config.model_url:
        server = {"name": "embedded", "url": model_server.url(config), "kind": "llama.cpp", "slots": model_server.SLOTS}
        return {"name": "local", "models": [model_server.ALIAS], "servers": [server]}
    served = model_server.served(config.model_url)
    kind, slots = _KINDS.get(served[0].owner, ("openai", 8))
    server = {"name": "own", "url": config.model_url, "kind": kind, "slots": slots}
    if os.environ.get("TORPOR_MODEL_KEY"):
        server["key_env"] = "TORPOR_MODEL_KEY"
    chosen = os.environ.get("TORPOR_MODEL")
    names = [model.name for model in served]
    return {"name": "own", "models": list(dict.fromkeys([*([chosen] if chosen else []), *names])), "servers": [server]}


def _command(config: Config, pools: Path) -> list[str]:
    command = [sys.executable, "-m", "inference.scheduler", "--config", str(pools), "--host", "127.0.0.1"]
    return [*command, "--port", str(config.ports.scheduler), "--journal", str(config.state / "scheduler")]


def _healthy(config: Config) -> bool:
    try:
        answer = ask(f"http://127.0.0.1:{config.ports.scheduler}/health")
        return answer.status == 200 and bool(json.loads(answer.data)["status"] == "ok")
    except (UnansweredError, ValueError, KeyError, TypeError):
        return False


def _ready(
    service: processes.Service, config: Config, progress: Progress, limit_s: float = START_LIMIT_S
) -> processes.Service:
    what = f"the scheduler on 127.0.0.1:{config.ports.scheduler}"
    return processes.wait(service, what, lambda: _healthy(config), limit_s, progress)
