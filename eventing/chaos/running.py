"""A run: requests are asked, faults strike, and all is awaited and looked at."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import uuid4

import aiohttp

from eventing import kafka
from eventing.chaos import mailing
from eventing.chaos.observing import Bought, Observations, Watch, everything
from eventing.chaos.scenario import Scenario
from eventing.chaos.stage import Stage
from eventing.chaos.striking import Injector
from eventing.local.mailbox import letters
from eventing.workflow import Workflow

_TAKEN_S = 180.0  # until a request must have been taken, by whichever platform lives by then
_AFTER_S = 150.0  # for mails and accounts, once every request has ended: a dead sender's lease, and the next try
_READ_S = 120.0
_LOOK_S = 0.3


@dataclass
class Run:
    """One run of a scenario on a stage; `tell` gets every fault, `show` how far it is, once a second."""

    stage: Stage
    scenario: Scenario
    workflow: Workflow
    body: dict[str, Any]
    tell: Callable[[str], None]
    show: Callable[[str], None]
    chance: Random = field(default_factory=Random)
    stopped: asyncio.Event = field(default_factory=asyncio.Event)  # no more requests and faults
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)  # and no more waiting
    admitted: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unintended: Counter[str] = field(default_factory=Counter)

    async def go(self) -> Observations:
        """The whole run; what was seen of it."""
        begun, ends = time.time(), frozenset(self.workflow.ends)
        before = self.stage.scheduler() if self.stage.stub is None else {}
        open_before = int(before.get("open_requests", 0))
        steps = frozenset(event for step in self.workflow.steps for event in step.takes)
        watch = Watch(self.stage.config.bootstrap, self._topics, ends, steps)
        injector = Injector(self.stage, watch, self.tell, self.chance)
        watching = asyncio.create_task(watch.run())
        showing = asyncio.create_task(self._show(watch, injector, begun))
        try:
            await self._until_stopped(injector)
            await self._settle(watch, open_before)
        finally:
            for task in (watching, showing):
                task.cancel()
            await asyncio.gather(watching, showing, return_exceptions=True)
        return await self._observed(begun, ends, injector, before)

    @property
    def _topics(self) -> list[str]:
        return [*self.workflow.topics, self.workflow.dead_letters]

    async def _until_stopped(self, injector: Injector) -> None:
        async def work() -> None:
            await asyncio.gather(self._ask_all(), injector.run(self.scenario))

        working, stopped = asyncio.create_task(work()), asyncio.create_task(self.stopped.wait())
        await asyncio.wait([working, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if self.stopped.is_set():
            working.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await working

    async def _ask_all(self) -> None:
        begun = time.monotonic()
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as http,
            asyncio.TaskGroup() as asking,
        ):
            for number in range(self.scenario.requests):
                await asyncio.sleep(begun + number / self.scenario.rate - time.monotonic())
                asking.create_task(self._ask(http, number + 1))

    async def _ask(self, http: aiohttp.ClientSession, number: int) -> None:
        """Ask until it is taken; by its own id, so that what was taken unseen is not taken again."""
        end, why = time.monotonic() + _TAKEN_S, ""
        request = str(uuid4())
        while time.monotonic() < end:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with http.post(f"{self.stage.gateway}/requests", json={**self.body, "request_id": request}) as answer:
                    if answer.status == 202:
                        self.admitted[request] = time.time()
                        return
                    why = f"answered {answer.status}: {(await answer.text())[:200]}"
                    if answer.status < 500 and answer.status not in (408, 429):
                        break
                    if answer.status not in (429, 503) or "Retry-After" not in answer.headers:
                        self.unintended[why] += 1
            await asyncio.sleep(0.5)
        self.refused[f"request number {number}"] = why or f"nobody answered within {_TAKEN_S:.0f} s"

    async def _settle(self, watch: Watch, open_before: int) -> None:
        """Until every request has ended, and mails and accounts have followed; or the time is over."""

        async def ended() -> bool:
            return set(self.admitted) <= set(watch.ended)

        async def followed() -> bool:
            return not await asyncio.to_thread(self._pending, open_before)

        await self._until(ended, self.scenario.settle)
        if await ended():  # what is lost gets no mail, and its account stays open
            await self._until(followed, _AFTER_S)

    async def _until(self, done: Callable[[], Awaitable[bool]], limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while not (await done() or self.abandoned.is_set()) and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.abandoned.wait(), min(_LOOK_S, left))

    def _pending(self, open_before: int) -> bool:
        unclosed = self.stage.scheduler().get("open_requests", 1) > open_before
        return unclosed or (self._mail_expected and not set(self.admitted) <= set(self._mailed()))

    @property
    def _mail_expected(self) -> bool:
        return "email" in self.body.get("metadata", {}) and any(step.agent == "notifier" for step in self.workflow.steps)

    def _mailed(self) -> list[str]:
        """The request of each mail, by its Message-ID."""
        return [_request_of(one.message_id) for one in letters(self.stage.config.mailbox)]

    async def _mailings(self) -> dict[str, mailing.Mailing]:
        """Of requests that got several mails: these mails, and who claimed them."""
        found: dict[str, list[str]] = {}
        for letter in await asyncio.to_thread(letters, self.stage.config.mailbox):
            found.setdefault(_request_of(letter.message_id), []).append(letter.message_id)
        return await mailing.read(self.stage.bucket(), {one: ids for one, ids in found.items() if len(ids) > 1})

    async def _observed(
        self, begun: float, ends: frozenset[str], injector: Injector, before: dict[str, Any]
    ) -> Observations:
        over, told = time.time(), await asyncio.to_thread(self.stage.scheduler)

        def counted(name: str) -> int:
            return max(0, int(told.get(name, 0)) - int(before.get(name, 0)))  # one that died counts anew

        return Observations(
            begun=begun,
            over=over,
            admitted=self.admitted,
            events=await _read(self.stage.config.bootstrap, self._topics),
            ends=ends,
            fails=self.workflow.fails,
            refused=self.refused,
            unintended=None if self.scenario.strikes_gateway else self.unintended,
            mailed=await asyncio.to_thread(self._mailed),
            mailings=await self._mailings(),
            mail_expected=self._mail_expected,
            struck=sorted(injector.struck, key=lambda one: one.at),
            bought=Bought(
                counted("generations"),
                counted("call_keys"),
                counted("tokens_twice"),
                self._at_server(),
                counted("open_requests") if "open_requests" in told else None,
            ),
            missed=injector.missed,
        )

    def _at_server(self) -> dict[str, int]:
        """How many answers the stub began for each call key; it wrote each down before it began."""
        if self.stage.stub is None or not self.stage.calls.is_file():
            return {}
        counted: Counter[str] = Counter()
        for line in self.stage.calls.read_text().splitlines():
            with contextlib.suppress(ValueError):  # the last one of a server that was killed
                call = json.loads(line)
                counted[call["key"]] += call["status"] == 200
        return {key: times for key, times in counted.items() if times}

    async def _show(self, watch: Watch, injector: Injector, begun: float) -> None:
        while True:
            ended = sum(request in watch.ended for request in self.admitted)
            self.show(
                f"{time.time() - begun:4.0f} s  {len(self.admitted)} of {self.scenario.requests} taken, {ended} ended, "
                f"{watch.answers} answers of steps, {len(injector.struck)} faults"
            )
            await asyncio.sleep(1.0)


def _request_of(message_id: str) -> str:
    return message_id.strip("<> ").split("@")[0].lower()


async def _read(bootstrap: str, topics: list[str]) -> Any:
    """Every event; a Kafka that is still coming back is waited for."""
    end = time.monotonic() + _READ_S
    while True:
        try:
            return await asyncio.to_thread(everything, bootstrap, topics)
        except kafka.KafkaUnavailableError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(1.0)
