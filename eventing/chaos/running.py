"""A run: requests are asked, faults strike, and all is awaited and looked at."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol
from uuid import uuid4

import aiohttp

from eventing.chaos.mailing import Mailing
from eventing.chaos.observing import Bought, Observations, Seen
from eventing.chaos.scenario import Scenario
from eventing.chaos.striking import Striker
from eventing.workflow import Workflow

_TAKEN_S = 180.0  # until a request must have been taken, by whichever platform lives by then
_AFTER_S = 150.0  # at least, for mails and accounts, once every request has ended: a dead sender's lease, and the next try
_LOOK_S = 0.3


class Sight(Protocol):
    """A platform as a run sees it; `unseen` says why its events, mails or scheduler are not to be seen."""

    @property
    def gateway(self) -> str: ...

    @property
    def unseen(self) -> Mapping[str, str]: ...

    def scheduler(self) -> dict[str, Any]:
        """The scheduler's own figures; empty while it does not answer."""

    def mailed(self) -> list[str]:
        """The request of each mail."""

    async def mailings(self) -> dict[str, Mailing]:
        """Of requests that got several mails: these mails, and who claimed them."""

    def generated(self) -> dict[str, int]:
        """How many answers the model server began for each call key, where it tells."""

    async def events(self) -> list[Seen]:
        """Every event there was."""


class Watcher(Protocol):
    """Follows what becomes of requests while a run goes on; `ended` says when each did, `answers` counts those of steps."""

    ended: dict[str, float]
    answers: int

    async def run(self) -> None: ...


@dataclass
class Run:
    """One run of a scenario on a platform; `show` is told how far it is, once a second."""

    stage: Sight
    scenario: Scenario
    workflow: Workflow
    body: dict[str, Any]
    watch: Watcher
    injector: Striker
    show: Callable[[str], None]
    stopped: asyncio.Event = field(default_factory=asyncio.Event)  # no more requests and faults
    abandoned: asyncio.Event = field(default_factory=asyncio.Event)  # and no more waiting
    admitted: dict[str, float] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    unintended: Counter[str] = field(default_factory=Counter)

    async def go(self) -> Observations:
        """The whole run; what was seen of it."""
        begun, before = time.time(), await asyncio.to_thread(self.stage.scheduler)
        open_before = int(before.get("open_requests", 0))
        watching = asyncio.create_task(self.watch.run())
        showing = asyncio.create_task(self._show())
        try:
            await self._until_stopped()
            await self._settle(open_before)
        finally:
            for task in (watching, showing):
                task.cancel()
            await asyncio.gather(watching, showing, return_exceptions=True)
        return await self._observed(begun, before)

    async def _until_stopped(self) -> None:
        async def work() -> None:
            await asyncio.gather(self._ask_all(), self.injector.run(self.scenario))

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

    async def _settle(self, open_before: int) -> None:
        """Until every request has ended, and mails and accounts have followed; or the time is over."""

        async def ended() -> bool:
            return set(self.admitted) <= set(self.watch.ended)

        async def followed() -> bool:
            return not await asyncio.to_thread(self._pending, open_before)

        await self._until(ended, self.scenario.settle)
        if await ended():  # what is lost gets no mail, and its account stays open
            await self._until(followed, max(_AFTER_S, self.scenario.settle))

    async def _until(self, done: Callable[[], Awaitable[bool]], limit_s: float) -> None:
        end = time.monotonic() + limit_s
        while not (await done() or self.abandoned.is_set()) and (left := end - time.monotonic()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.abandoned.wait(), min(_LOOK_S, left))

    def _pending(self, open_before: int) -> bool:
        seen = "scheduler" not in self.stage.unseen
        unclosed = seen and self.stage.scheduler().get("open_requests", 1) > open_before
        return unclosed or (self._mail_expected and not set(self.admitted) <= set(self.stage.mailed()))

    @property
    def _mail_expected(self) -> bool:
        asked = "email" in self.body.get("metadata", {}) and "mails" not in self.stage.unseen
        return asked and any(step.agent == "notifier" for step in self.workflow.steps)

    async def _observed(self, begun: float, before: dict[str, Any]) -> Observations:
        over, told = time.time(), await asyncio.to_thread(self.stage.scheduler)

        def counted(name: str) -> int:
            return max(0, int(told.get(name, 0)) - int(before.get(name, 0)))  # one that died counts anew

        return Observations(
            begun=begun,
            over=over,
            admitted=self.admitted,
            events=await self.stage.events(),
            ends=frozenset(self.workflow.ends),
            fails=self.workflow.fails,
            refused=self.refused,
            unintended=None if self.scenario.strikes_gateway else self.unintended,
            mailed=await asyncio.to_thread(self.stage.mailed),
            mailings=await self.stage.mailings(),
            mail_expected=self._mail_expected,
            struck=sorted(self.injector.struck, key=lambda one: one.at),
            bought=Bought(
                counted("generations"),
                counted("call_keys"),
                counted("tokens_twice"),
                self.stage.generated(),
                counted("open_requests") if "open_requests" in told else None,
            ),
            missed=self.injector.missed,
            unseen=self.stage.unseen,
        )

    async def _show(self) -> None:
        while True:
            ended = sum(request in self.watch.ended for request in self.admitted)
            self.show(
                f"{len(self.admitted)} of {self.scenario.requests} taken, {ended} ended, "
                f"{self.watch.answers} answers of steps, {len(self.injector.struck)} faults"
            )
            await asyncio.sleep(1.0)
