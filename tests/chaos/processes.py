"""A simulated process: one attempt at one delivery, each of whose effects may be slow, fail, or be its last."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, TypeVar

from eventing.agent import StepKey
from eventing.envelope import Event
from eventing.errors import NotNowError, PublishError, StoreError
from eventing.mail import ClaimedMailer, MailError, Server
from eventing.publishing import Publisher
from eventing.runtime import Runtime
from eventing.testing import NOON
from eventing.testing.shelf import Shelf
from eventing.workflow import named
from inference.errors import ModelUnavailableError

if TYPE_CHECKING:
    from tests.chaos.simulation import Simulation

T = TypeVar("T")
WORKFLOW = named("research")


class Death(BaseException):
    """A process is gone: nothing of it takes place any more."""


@dataclass
class _Usage:
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float = 0.0
    currency: str = ""
    refused: int = 0
    tokens: int = 0


@dataclass
class Process:
    """One attempt at one delivery, with what it works with. Its clock is its own."""

    world: Simulation
    name: str
    began: int
    skew: timedelta
    dead: bool = False
    handed_in: bool = False

    async def effect(self, what: str, do: Callable[[], T], error: type[Exception] = StoreError) -> T:
        """As `eventing.testing.effects.Effect`."""
        await self.moment(what, "before")
        if self.world.chance(self.world.failing):
            self.world.tell(f"{self.name}: {what} is refused")
            raise error(f"{what}: refused")
        value = do()
        self.world.tell(f"{self.name}: {what}")
        await self.moment(what, "after")
        if self.world.chance(self.world.failing / 2):
            self.world.tell(f"{self.name}: {what} loses its answer")
            raise error(f"{what}: the answer was lost")
        return value

    async def moment(self, what: str, when: str) -> None:
        await asyncio.sleep(self.world.delay())
        if not self.dead and self.world.chance(self.world.dying):
            self.world.tell(f"{self.name} dies {when} {what}")
            self.dead = True
        if self.dead:
            raise Death

    def clock(self) -> datetime:
        return NOON + self.skew + timedelta(seconds=self.world.loop.time())

    def deliver(self, message: EmailMessage, check: Callable[[], None]) -> None:
        """As `eventing.mail.Server.deliver`, which a thread calls."""
        check()
        if self.dead or self.world.chance(self.world.failing):
            raise MailError("the mail server is away")
        self.handed_in = True
        self.world.accept(self, message)
        if self.world.chance(self.world.failing / 2):
            raise MailError("the mail server's answer was lost")

    def runtime(self) -> Runtime:
        world, runtime = self.world, Runtime({}, clock=self.clock)
        process = self

        class ToBroker(Publisher):
            async def _tried(self, event: Event) -> None:
                what = f"publish {event.type} {event.id[:8]}"
                await process.effect(what, lambda: world.publish(process, event), PublishError)

        store = Shelf(world.objects, self.effect)
        publisher = ToBroker("http://simulated", store)
        steps = world.protocol.steps(store, publisher.publish, frozenset(WORKFLOW.ends))
        server: Any = Server("simulated", 25)
        object.__setattr__(server, "deliver", self.deliver)

        def mailer(key: StepKey) -> ClaimedMailer:
            return world.protocol.mailer(server, "torpor@localhost", store, key, self.clock)

        runtime.__dict__.update(store=store, publisher=publisher, steps=steps, mailer=mailer, workflow=WORKFLOW)
        return runtime

    def for_step(self, *, key: str, **_: Any) -> _Model:
        return _Model(self, key)

    async def close(self, request: str) -> None:
        """As `inference.accounts.Accounts.close`."""
        await self.effect(f"close account {request[:8]}", lambda: self.world.closed.add(request), ModelUnavailableError)


@dataclass
class _Model:
    process: Process
    key: str
    name: str = "simulated"
    usage: _Usage = field(default_factory=_Usage)
    calls: int = 0

    async def served(self) -> str:
        return self.name

    async def text(self, prompt: str, **_: Any) -> str:
        call, self.calls = f"{self.key}#{self.calls}", self.calls + 1
        return await self.process.effect(f"buy {call}", lambda: self.process.world.buy(call, prompt), NotNowError)
