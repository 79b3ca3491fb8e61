"""The platform that a run plays on: one of its own, with a model server that only pretends, or the one that runs already."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import psutil
import yaml

from eventing.chaos import disks, mailing, storing
from eventing.chaos.observing import Seen, everything
from eventing.chaos.scenario import SPELLS, Scenario, ScenarioError, Stub
from eventing.chaos.storing import StoreServer
from eventing.errors import EventingError
from eventing.local import model_server, ports, preflight, processes, services
from eventing.local.asking import UnansweredError, ask, healthy
from eventing.local.config import IN_A_ROW, Config, Ports
from eventing.local.mailbox import letters
from eventing.store import Store
from eventing.workflow import Workflow

STUB = "chaos-model"
RUN = "chaos"  # the record of a run itself, in its own folder
_BROKERS = 3
_UP_S = 300.0
_STALL_S = 10.0  # the stub says a token every few milliseconds, however many ask
_ANSWER_LIMIT_S = 5.0
_NOT_OURS = ("TORPOR_MODEL_URL", "TORPOR_URL", "TORPOR_STORE")


class StageError(EventingError):
    """The platform of a run cannot be had; the message says why."""


@dataclass(frozen=True)
class Stage:
    """A local platform; `stub` is the model server of one's own, None where the platform runs with another."""

    config: Config
    workflow: Workflow
    stub: Stub | None = None
    environ: dict[str, str] = field(default_factory=dict)
    store: StoreServer | None = None  # of one's own, where the store is struck
    up_with: tuple[str, ...] = ()  # options that the platform was started with

    @property
    def order(self) -> Path:
        """Where it is written at which effect an agent is to die."""
        return self.config.state / "crash-at"

    @property
    def calls(self) -> Path:
        return self.config.state / "model-calls.jsonl"

    def bucket(self) -> Store:
        """The platform's store; one that pretends, as it lies on disk."""
        if self.store is not None:
            return Store.open(self.store.folder.as_uri())
        url = self.environ.get("TORPOR_STORE") or self.config.store
        return Store.open(url, {**os.environ, **self.environ})

    @property
    def gateway(self) -> str:
        return f"http://127.0.0.1:{self.config.ports.gateway}"

    @cached_property
    def _command(self) -> Sequence[str]:
        assert self.stub is not None
        command = [sys.executable, "-m", "inference.testing", "--port", str(self.config.ports.model)]
        command += ["--slots", str(self.stub.slots), "--tokens-per-second", str(self.stub.tokens_per_second)]
        return [*command, "--record", str(self.calls)]

    def begin(self) -> None:
        """Start the stub and the platform, where they are its own.

        Raises:
            StageError: when one does not come up.
        """
        if self.stub is None:
            return
        self.config.state.mkdir(parents=True, exist_ok=True)
        self.start_stub()
        if self.store is not None:
            self.store.start()
        url = f"http://127.0.0.1:{self.config.ports.model}/v1"
        models = [model.name for model in model_server.served(url)]
        server = {"name": "stub", "url": url, "kind": "llama.cpp", "slots": self.stub.slots}
        pools = self.config.state / "pools.yaml"
        found = {"pools": [{"name": "stub", "models": models, "servers": [server]}], "limits": {"stall_s": _STALL_S}}
        pools.write_text(yaml.safe_dump(found))
        self.up()

    def end(self) -> None:
        """Stop whatever it started; a platform that ran before is left running."""
        self.order.unlink(missing_ok=True)
        if self.stub is not None:
            if (running := preflight.running(self.config)) is not None:
                processes.stop(running, grace_s=60.0)
            services.stop(self.config)

    def up(self) -> None:
        """Start the platform, which adopts what runs of it."""
        command = [sys.executable, "-m", "eventing.cli", "up", "--detach", *self.up_with]
        done = subprocess.run(
            command,
            env={**os.environ, **self.environ},
            cwd=self.config.project,
            capture_output=True,
            text=True,
            timeout=_UP_S,
            check=False,
            start_new_session=True,  # an interrupt is the run's alone
        )
        if done.returncode:
            raise StageError(f"the platform did not come up: {done.stderr.strip() or done.stdout.strip()}")

    def start_stub(self) -> None:
        """Start the model server that pretends, and wait until it answers."""
        service = processes.start(self.config.state, STUB, self._command, os.environ, model_server.ROOT)
        ready = partial(healthy, self.config.ports.model, _ANSWER_LIMIT_S)
        processes.wait(service, "the model server that pretends", ready, 30.0, lambda *_: None)

    def treat(self, how: dict[str, Any]) -> None:
        """How the stub treats every call from now on; one that is being started anew is waited for."""
        end = time.monotonic() + 15.0
        while True:
            try:
                answer = ask(f"http://127.0.0.1:{self.config.ports.model}/otherwise", _ANSWER_LIMIT_S, "PUT", json=how)
                if answer.status != 200:
                    raise StageError(f"the model server that pretends refused {how}: {answer.data.decode()[:200]}")
                return
            except UnansweredError as error:
                if time.monotonic() > end:
                    raise StageError(f"the model server that pretends does not answer: {error}") from error
                time.sleep(0.1)

    def scheduler(self) -> dict[str, Any]:
        """The scheduler's own figures; empty while it does not answer."""
        try:
            answer = ask(f"http://127.0.0.1:{self.config.ports.scheduler}/state", _ANSWER_LIMIT_S)
            return dict(answer.json()) if answer.status == 200 else {}
        except (UnansweredError, ValueError):
            return {}

    @property
    def unseen(self) -> Mapping[str, str]:
        """A local platform shows everything."""
        return {}

    def mailed(self) -> list[str]:
        """The request of each mail."""
        return [_request_of(one.message_id) for one in letters(self.config.mailbox)]

    async def mailings(self) -> dict[str, mailing.Mailing]:
        """Of requests that got several mails: these mails, and who claimed them."""
        found: dict[str, list[str]] = {}
        for letter in await asyncio.to_thread(letters, self.config.mailbox):
            found.setdefault(_request_of(letter.message_id), []).append(letter.message_id)
        return await mailing.read(self.bucket(), {one: ids for one, ids in found.items() if len(ids) > 1})

    def generated(self) -> dict[str, int]:
        """How many answers the stub began for each call key; it wrote each down before it began."""
        if self.stub is None or not self.calls.is_file():
            return {}
        counted: Counter[str] = Counter()
        for line in self.calls.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the last one of a server that was killed
                call = json.loads(line)
                counted[call["key"]] += call["status"] == 200
        return {key: times for key, times in counted.items() if times}

    async def events(self) -> list[Seen]:
        """Every event in every topic."""
        return await everything(self.config.bootstrap, self.workflow)


def _request_of(message_id: str) -> str:
    return message_id.strip("<> ").split("@")[0].lower()


def end_abandoned(chosen: Config, folder: Path) -> list[Path]:
    """End the platforms of runs that were killed, in this run's folder or beside it; their folders."""
    found = [record.parents[1] for record in sorted(folder.parent.glob(f"*/run/{RUN}.json"))]
    dead = [one for one in found if processes.find(one, RUN) is None]
    return [one for one in dead if services.stop(replace(chosen, state=one / "platform"))]


def own(chosen: Config, workflow: Workflow, folder: Path, scenario: Scenario) -> Stage:
    """A platform of the run's own, of three brokers, beside whatever runs.

    Raises:
        ScenarioError: when this system can play no full disk.
    """
    if any(fault.kind == "disk" for fault in scenario.faults) and not disks.POSSIBLE:
        raise ScenarioError("a full disk can be played on Linux alone: leave out the faults of kind `disk`")
    first = ports.row(IN_A_ROW[_BROKERS] + 1)
    store = StoreServer(folder, first + IN_A_ROW[_BROKERS]) if scenario.strikes_store else None
    config = replace(
        chosen,
        state=folder,
        ports=Ports(*range(first, first + IN_A_ROW[_BROKERS])),
        brokers=_BROKERS,
        pools=folder / "pools.yaml",
        model_url=None,
        store_url=storing.URL if store else None,
    )
    environ = dict.fromkeys(_NOT_OURS, "")
    environ |= {"TORPOR_STATE": str(folder), "TORPOR_PORT": str(first), "TORPOR_BROKERS": str(_BROKERS)}
    environ |= {"TORPOR_PROJECT": str(chosen.project), "TORPOR_POOLS": str(folder / "pools.yaml")}
    environ |= {"TORPOR_CRASH_AT": str(folder / "crash-at")}
    environ |= store.environ if store else {}
    return Stage(config, workflow, scenario.model, environ, store)


def running(chosen: Config, workflow: Workflow, scenario: Scenario) -> Stage:
    """The platform that runs, to be started anew as it was started.

    Raises:
        ScenarioError: when the scenario has faults that it cannot be given.
        StageError: when none runs.
    """
    told = [str(fault.kind) for fault in scenario.faults if fault.kind in (*SPELLS, "store", "disk")]
    told += [f"agents at {fault.at}" for fault in scenario.faults if fault.at]
    if chosen.brokers == 1 and any(fault.kind == "broker" for fault in scenario.faults):
        told.append("broker (it has one alone: TORPOR_BROKERS=3)")
    if told:
        needs = ", ".join(dict.fromkeys(told))
        raise ScenarioError(f"the platform that runs cannot be given {needs}: leave out --running for one of the run's own")
    found = preflight.running(chosen)
    process = found.process if found else None
    if process is None:
        raise StageError(f"no platform runs from {chosen.state}: start it with `torpor up`, or leave out --running")
    try:
        return Stage(chosen, workflow, environ=process.environ(), up_with=_sources(process.cmdline()))
    except psutil.Error as error:
        raise StageError(f"the platform that runs (pid {process.pid}) cannot be looked at: {error}") from error


def _sources(command: Sequence[str]) -> tuple[str, ...]:
    """What a platform that is started anew must be told again."""
    at = command.index("--sources") if "--sources" in command else len(command)
    return tuple(command[at : at + 2])
