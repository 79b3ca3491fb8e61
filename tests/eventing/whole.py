"""The whole research workflow in memory: small agents, the real protocol, tracker, gateway, formatter and notifier."""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from typing import Any

from eventing import Agent, Context, agent
from eventing.adapter import Adapter
from eventing.envelope import Event
from eventing.mail import MailRefusedError
from eventing.runtime import Runtime
from eventing.state import fold, is_dead_letter
from eventing.step import Steps
from eventing.testing import NOON, REQUEST, Broker
from eventing.testing.effects import Effect, at_once
from eventing.testing.shelf import Shelf
from functions.accounts import Desk
from functions.aggregator.agent import handle as aggregator
from functions.formatter.agent import handle as formatter
from functions.gateway import admission, redriving
from functions.notifier.agent import handle as notifier
from functions.tracker.tracking import Tracker
from inference.testing import FakeModel
from schemas import (
    PartAbandoned,
    ResearchQuery,
    ResearchQuestion,
    SummaryReady,
    ValidationFailed,
    ValidationPassed,
    WorkflowState,
)
from schemas.gateway import Redriven


class Refused(Exception):
    status = 422


@dataclass
class Mails:
    """A mail server that keeps what it is handed."""

    letters: list[EmailMessage] = field(default_factory=list)
    down: bool = False

    def deliver(self, message: EmailMessage, check: Callable[[], None]) -> None:
        check()
        if self.down:
            raise MailRefusedError("no such mailbox")
        self.letters.append(message)

    host, port = "mail", 25


class Whole:
    """Delivers until nothing is left; what an agent refuses becomes a dead letter at once, as a 422 does."""

    def __init__(self, depth: int = 2, effect: Effect = at_once) -> None:
        self.now: datetime = NOON
        self.broker, self.mails, self.runs, self.accounts = Broker(), Mails(), Counter[str](), list[tuple[str, str]]()
        self.failing: Callable[[str, Any], bool] = lambda agent, data: False
        self.poor: set[int] = set()  # parts that are not found supported
        self.runtime = Runtime({}, clock=self.tick)

        async def publish(event: Event) -> None:
            await effect(f"publish {event.type}", lambda: None)
            await self.broker.publish(event)

        store = Shelf(effect=effect)
        steps = Steps(store, publish, frozenset(self.runtime.workflow.ends))
        self.runtime.__dict__.update(store=store, publisher=self.broker, steps=steps, _mail_server=self.mails)
        self.desk = Desk(None)
        self.tracker = Tracker(self.runtime, self.desk)
        self.adapters = {a.name: Adapter(self._counted(a), self.runtime, self) for a in self._agents()}
        self.query = {"request_id": str(REQUEST), "topic": "sleep", "depth": depth, "metadata": {"email": "a@b.c"}}

    def for_step(self, *, key: str, account: str, **_: object) -> FakeModel:
        self.accounts.append((account, key))
        return FakeModel()

    def _counted(self, one: Agent) -> Agent:
        async def handler(data: Any, ctx: Context) -> Any:
            self.runs[f"{one.name} {ctx.key.part or '-'}"] += 1
            await ctx.llm.text("think")
            if self.failing(one.name, data):
                raise Refused(f"{one.name} is broken")
            return await one.handler(data, ctx)

        return Agent(one.name, handler, one.takes, one.answers, one.joins, one.many, one.silent)

    def _agents(self) -> list[Agent]:
        return [planner, research_assistant, self._validator(), aggregator, formatter, notifier]

    def _validator(self) -> Agent:
        @agent("validator")
        async def validator(summary: SummaryReady, ctx: Context) -> ValidationPassed | ValidationFailed:
            same = summary.model_dump()
            return ValidationFailed(**same, verdicts=()) if summary.part in self.poor else ValidationPassed(**same)

        return validator

    async def ask(self) -> None:
        query = ResearchQuery.model_validate_json(json.dumps(self.query))
        await admission.publish(query, {}, self.runtime, self.desk)
        await self.settle()

    async def redrive(self) -> Redriven:
        told = await redriving.redrive(REQUEST, self.runtime, self.desk)
        await self.settle()
        return told

    async def settle(self) -> None:
        """Deliver every event to its agents, then to the tracker, until there are no more."""
        while self.broker.events:
            event = self.broker.events.pop(0)
            for adapter in self.adapters.values():
                if self.runtime.workflow.step_for(adapter.agent.name, event.type):
                    await self._deliver(adapter, event)
            if event.type != "workflow_state":
                await self.tracker.take(event)

    async def _deliver(self, adapter: Adapter, event: Event) -> None:
        try:
            await adapter.take(event)
        except Exception as error:
            told = {"failedstep": adapter.agent.name, "reason": str(error), "error": type(error).__name__}
            dead = {"knativeerrordest": f"http://{adapter.agent.name}.local/", "knativeerrorcode": "422"}
            dead["knativeerrordata"] = base64.b64encode(str(error).encode()).decode()
            await self.tracker.take(event.having(**dead, **told))

    async def state(self) -> WorkflowState:
        return fold(REQUEST, await self.runtime.journal.events(REQUEST), self.runtime.workflow)

    def tick(self) -> datetime:
        self.now += timedelta(milliseconds=1)
        return self.now

    def later(self, **of: float) -> None:
        self.now += timedelta(**of)

    async def ends(self) -> list[str]:
        """The ends of the request in its trail, each with its edition."""
        trail = await self.runtime.journal.events(REQUEST)
        found = [e for e in trail if e.type in self.runtime.workflow.ends and not is_dead_letter(e)]
        return [f"{e.type} {e.get('edition', '0')}" for e in found]

    def letters(self) -> list[str]:
        return [str(letter["Message-ID"]) for letter in self.mails.letters]


@agent("planner")
async def planner(query: ResearchQuery, ctx: Context) -> list[ResearchQuestion]:
    return [
        ResearchQuestion(
            request_id=query.request_id, topic=query.topic, part=n, of=query.depth, question=f"{n}?", metadata=query.metadata
        )
        for n in range(1, query.depth + 1)
    ]


@agent("research_assistant")
async def research_assistant(asked: ResearchQuestion | ValidationFailed, ctx: Context) -> SummaryReady | PartAbandoned:
    same = asked.model_dump(include={"request_id", "topic", "part", "of", "question", "metadata"})
    if isinstance(asked, ValidationFailed):
        return PartAbandoned(**same, revision=asked.revision, reason="nothing was supported")
    return SummaryReady(**same, revision=0)
