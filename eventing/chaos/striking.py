"""Doing what a scenario says goes wrong, and undoing it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

from eventing import kafka
from eventing.chaos import disks, storing
from eventing.chaos.observing import Struck, Watch
from eventing.chaos.scenario import Fault, Scenario
from eventing.chaos.stage import STUB, Stage
from eventing.errors import EventingError
from eventing.local import kafka_server, model_server, preflight, processes, scheduler
from eventing.local.errors import LocalPlatformError
from eventing.local.instance import function_of

_ORDER_S = 15.0  # that an ordered death may wait for somebody to come to its place
_LOOK_S = 0.01
_OLD_S = 60.0
_TREATED: dict[str, dict[str, Any]] = {
    "errors": {"status": 500},
    "hang": {"hang": True},
    "garbage": {"body": '{"choices": [{"mess', "content_type": "text/event-stream"},
}


@dataclass
class Striker:
    """Strikes by a scenario, a method a kind; `struck` has all that struck, `missed` what found nothing to strike."""

    tell: Callable[[str], None]
    chance: Random
    struck: list[Struck] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)

    async def run(self, scenario: Scenario) -> None:
        """Strike until all has struck; what is under way when this is cancelled is undone."""
        begun = time.monotonic()
        async with asyncio.TaskGroup() as all_of_them:
            for fault in scenario.faults:
                for moment, place in zip(fault.moments(self.chance), fault.places(), strict=True):
                    all_of_them.create_task(self._one(fault, begun + moment, place))

    async def _one(self, fault: Fault, moment: float, place: str | None) -> None:
        await asyncio.sleep(moment - time.monotonic())
        strike = getattr(self, f"_{fault.kind}", None) or self._spell
        try:
            struck = await strike(fault, place)
        except (EventingError, LocalPlatformError, kafka.KafkaUnavailableError, OSError) as error:
            self.tell(f"{fault.kind}: {error}")
            struck = None
        if struck is None:
            self.missed.append(f"{fault.kind}{f' {place}' if place else ''}: nothing there to strike")
        elif struck not in self.struck:
            self._strikes(struck)

    async def _spell(self, fault: Fault, _: str | None) -> Struck | None:
        """What has no method of its own."""
        return None

    def _strikes(self, struck: Struck) -> None:
        self.struck.append(struck)
        self.tell(f"{struck.kind}{f': {struck.victim}' if struck.victim else ''}")


@dataclass
class Injector(Striker):
    """Strikes a local platform."""

    stage: Stage = field(kw_only=True)
    watch: Watch = field(kw_only=True)
    _orders: asyncio.Lock = field(default_factory=asyncio.Lock)
    _spells: asyncio.Lock = field(default_factory=asyncio.Lock)
    _store_spells: asyncio.Lock = field(default_factory=asyncio.Lock)
    _reviving: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def _agents(self, fault: Fault, place: str | None) -> Struck | None:
        if place:
            return await self._ordered(place)
        awake = [
            service
            for service in processes.leftovers(self.stage.config.state)
            if function_of(service) and _is(service, fault)
        ]
        return _kill(self.chance.choice(awake), "agents", function_of) if awake else None

    async def _ordered(self, place: str) -> Struck | None:
        """Somebody dies at a place; one order at a time."""
        async with self._orders:
            try:
                self.stage.order.write_text(place)
                for _ in range(int(_ORDER_S / _LOOK_S)):
                    if not self.stage.order.exists():
                        return Struck("agents at effects", time.time(), place)
                    await asyncio.sleep(_LOOK_S)
                return None
            finally:
                self.stage.order.unlink(missing_ok=True)

    async def _dispatcher(self, _: Fault, __: str | None) -> Struck | None:
        async with self._reviving:
            found = preflight.running(self.stage.config)
            if found is None:
                return None
            struck = _kill(found, "dispatcher")
            self._strikes(struck)
            await asyncio.shield(asyncio.to_thread(self.stage.up))
            return struck

    async def _broker(self, _: Fault, __: str | None) -> Struck | None:
        """One of them dies, unless another is not yet back: two of three are the promise."""
        names = kafka_server.NAMES[: self.stage.config.brokers]
        found = [running for name in names if (running := processes.find(self.stage.config.state, name)) is not None]
        return _kill(self.chance.choice(found), "broker") if len(found) == len(names) else None

    async def _scheduler(self, _: Fault, __: str | None) -> Struck | None:
        found = processes.find(self.stage.config.state, scheduler.NAME)
        return _kill(found, "scheduler") if found else None

    async def _model(self, _: Fault, __: str | None) -> Struck | None:
        found = processes.find(self.stage.config.state, STUB if self.stage.stub else model_server.NAME)
        if found is None:
            return None
        struck = _kill(found, "model")
        if self.stage.stub:
            self._strikes(struck)
            await asyncio.shield(asyncio.to_thread(self.stage.start_stub))
        return struck

    async def _spell(self, fault: Fault, _: str | None) -> Struck:
        how = _TREATED.get(fault.kind) or {"delay_s": fault.delay}
        async with self._spells:
            at = time.time()
            try:
                await asyncio.to_thread(self.stage.treat, how)
                self.tell(f"{fault.kind} for {fault.lasts:.0f} s")
                await asyncio.sleep(fault.lasts)
            finally:
                await asyncio.shield(asyncio.to_thread(self.stage.treat, {}))
            return self._spelt(Struck(fault.kind, at, until=time.time()))

    async def _store(self, fault: Fault, _: str | None) -> Struck | None:
        store = self.stage.store
        if store is None:
            return None
        async with self._store_spells:
            at = time.time()
            self.tell(f"store {fault.how} for {fault.lasts:.0f} s")
            try:
                if fault.how != "away":
                    how = {"status": 503} if fault.how == "errors" else {"delay_s": fault.delay}
                    await asyncio.to_thread(store.treat, how)
                elif (found := processes.find(self.stage.config.state, storing.NAME)) is not None:
                    _kill(found, "store")
                await asyncio.sleep(fault.lasts)
            finally:
                well = store.start if fault.how == "away" else partial(store.treat, {})
                await asyncio.shield(asyncio.to_thread(well))
            return self._spelt(Struck(f"store {fault.how}", at, until=time.time()))

    async def _disk(self, fault: Fault, _: str | None) -> Struck | None:
        names = {"store": [storing.NAME], "scheduler": [scheduler.NAME], "broker": list(kafka_server.NAMES)}[fault.of or ""]
        if not all(processes.find(self.stage.config.state, name) for name in names):
            return None
        at, name = time.time(), self.chance.choice(names)
        self.tell(f"disk of {name} full for {fault.lasts:.0f} s")
        if not await disks.full(self.stage.config.state, name, fault.lasts):
            return None
        return self._spelt(Struck(f"disk of {fault.of}", at, until=time.time()))

    def _spelt(self, struck: Struck) -> Struck:
        """A spell was told of when it began."""
        self.struck.append(struck)
        return struck

    async def _redelivery(self, fault: Fault, _: str | None) -> Struck | None:
        old = self.watch.older_than(time.time() - _OLD_S)
        chosen = self.chance.sample(old, min(fault.count, len(old)))
        if not chosen:
            return None
        struck = Struck("redelivery", time.time(), f"{len(chosen)} events")
        producer = kafka.Producer(self.stage.config.bootstrap, 60.0)
        try:
            for record in chosen:
                if record.value is not None:
                    await producer.produce(record.topic, record.value, record.key, record.headers)
        finally:
            with contextlib.suppress(kafka.KafkaUnavailableError):
                await producer.close()
        return struck


def _is(service: processes.Service, fault: Fault) -> bool:
    return fault.agent is None or function_of(service) == fault.agent.replace("_", "-")


def _kill(
    service: processes.Service, kind: str, named: Callable[[processes.Service], str] = lambda service: service.name
) -> Struck:
    at = time.time()
    with contextlib.suppress(ProcessLookupError):
        os.kill(service.pid, signal.SIGKILL)
    return Struck(kind, at, named(service) if kind in ("agents", "broker") else "")
