"""The model server of a machine without a GPU: llama.cpp with a small model, or whatever TORPOR_MODEL_URL names."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path

from eventing.local import ports, processes
from eventing.local.asking import UnansweredError, ask, healthy
from eventing.local.config import Config, Progress
from eventing.local.downloads import model
from eventing.local.errors import ServiceError

NAME = "model"
ALIAS = "smollm2-135m-instruct"  # what `inference.embedded` calls it
SLOTS = 4
START_LIMIT_S = 60.0
ADOPT_LIMIT_S = 15.0
_ANSWER_LIMIT_S = 10.0
# Where the packages lie, installed or not: `-m` finds them from there.
ROOT = Path(__file__).resolve().parents[2]


def url(config: Config) -> str:
    """Base URL of the OpenAI-compatible server behind the scheduler."""
    return config.model_url or f"http://127.0.0.1:{config.ports.model}/v1"


def start(config: Config, progress: Progress) -> processes.Service | None:
    """Start the embedded model, or adopt it; with a server of one's own only ask whether it is there (and return None).

    Raises:
        DownloadError: when the model must be fetched and cannot be.
        ServiceError: when the server does not come up, its port is taken, or one's own does not answer.
    """
    if config.model_url or config.pools:
        stop(config)
        if config.model_url:
            names = ", ".join(model.name for model in served(config.model_url))
            progress(NAME, f"model server {config.model_url}: serves {names}", None)
        return None
    path = model(config, progress)
    command = _command(config, path)
    if (running := processes.adopt(config.state, NAME, command)) is not None:
        progress(NAME, f"the model runs already on 127.0.0.1:{config.ports.model} (pid {running.pid}): adopted", None)
        with contextlib.suppress(ServiceError):  # it was dying, or hung: it is stopped now
            return _ready(running, config, progress, ADOPT_LIMIT_S)
    if problem := ports.conflict(config.ports.model, "model"):
        raise ServiceError(f"the model server cannot be started: {problem}")
    progress(NAME, f"starting {path.name} on 127.0.0.1:{config.ports.model}", None)
    return _ready(processes.start(config.state, NAME, command, os.environ, ROOT), config, progress)


def _command(config: Config, path: Path) -> list[str]:
    command = [sys.executable, "-m", "inference.embedded", "--model", str(path), "--host", "127.0.0.1"]
    command += ["--port", str(config.ports.model), "--slots", str(SLOTS), "--context", "2048"]
    return command


def stop(config: Config) -> None:
    """Stop the embedded model, if it runs."""
    if (running := processes.find(config.state, NAME)) is not None:
        processes.stop(running)


@dataclass(frozen=True)
class Model:
    """A model that a server lists; `owner` tells what kind of server it is."""

    name: str
    owner: str


def served(base: str) -> list[Model]:
    """The models of a server of one's own, one at least.

    Raises:
        ServiceError: it does not answer as an OpenAI-compatible server does.
    """
    key = os.environ.get("TORPOR_MODEL_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else None
    try:
        answer = ask(f"{base.rstrip('/')}/models", _ANSWER_LIMIT_S, headers=headers)
        if answer.status == 200:
            if found := [Model(str(e["id"]), str(e.get("owned_by"))) for e in json.loads(answer.data)["data"]]:
                return found
            raise ValueError("it lists no model")
        why = f"answered {answer.status}"
    except (UnansweredError, ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
    raise ServiceError(
        f"the model server at TORPOR_MODEL_URL={base} does not answer GET {base.rstrip('/')}/models as an OpenAI-compatible "
        f"server does ({why}). Start it, correct the URL (it ends in /v1), or unset TORPOR_MODEL_URL for the embedded model."
    )


def _ready(
    service: processes.Service, config: Config, progress: Progress, limit_s: float = START_LIMIT_S
) -> processes.Service:
    what = f"the model server on 127.0.0.1:{config.ports.model}"
    return processes.wait(service, what, lambda: healthy(config.ports.model), limit_s, progress)
