"""From an event to the step it asks for: validate, run the agent, store, publish. No HTTP here."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from eventing import ids, places, telemetry
from eventing.agent import Agent, Context, Model, StepKey, Usage
from eventing.answering import cost_of, events_of
from eventing.editions import ADDRESSEE, account, edition_of, is_sent_on, rerun_of, suffix
from eventing.envelope import Event
from eventing.errors import AgentError, ContractError, EventingError, StepConflictError, WrongAnswerError
from eventing.mistakes import faults, given, raised
from eventing.publishing import resolved
from eventing.runtime import Runtime
from eventing.stalls import ALARM
from eventing.state import STEP_FAILED, step_of
from eventing.workflow import Step
from schemas import Contract, StepState, contract_for


class Models(Protocol):
    """Where an agent's model comes from; `inference.client` satisfies it."""

    def for_step(
        self,
        *,
        key: str,
        account: str,
        deadline: datetime,
        budget_tokens: int,
        time_limit_s: float,
        traceparent: str | None,
        redriven: bool,
    ) -> Model: ...


class _Over(Exception):
    """The request has ended, or its deadline has passed: nothing more is bought for it."""


def validated(event: Event, contract: type[Contract]) -> Contract:
    """The event's data as its contract.

    Raises:
        ContractError: naming each field, the rule it breaks and the value.
    """
    try:
        data = contract.model_validate_json(event.data or b"null")
    except ValidationError as error:
        raise ContractError(f"the data of {event.type} breaks its contract", faults(error)) from error
    named = event.attributes.get("requestid")
    if named and named.lower() != str(data.request_id):
        what = {"field": "requestid", "rule": f"must equal the data's request_id {data.request_id}", "value": named[:80]}
        raise ContractError(f"{event.type} contradicts itself", [what])
    return data


@dataclass(frozen=True)
class Adapter:
    """Takes events for one agent."""

    agent: Agent
    runtime: Runtime
    models: Models

    async def take(self, event: Event, coldstart: bool = False) -> str:
        """Bring the event's step to its end; says how it ended: done, adopted, duplicate, waiting, over or not_addressed.

        Raises:
            EventingError: whatever kept it from its end; its `status` says whether to deliver the event again.
        """
        if event.get(ADDRESSEE, self.agent.name) != self.agent.name:
            return "not_addressed"
        event = await resolved(event, self.runtime.store)
        step = self.runtime.workflow.step_for(self.agent.name, event.type)
        if step is None:
            takes = ", ".join(contract.event for contract in self.agent.takes)
            raise ContractError(f"agent {self.agent.name} takes {takes}; it was sent {event.type}")
        data = validated(event, contract_for(event.type))
        part, revision = vars(data).get("part"), vars(data).get("revision", 0)
        # Whoever is told of an end is told of each edition's.
        edition = edition_of(event) if event.type in self.runtime.workflow.ends else rerun_of(event)
        key = StepKey(data.request_id, step.name, part, revision, edition)
        run = _Run(self, step, key, event, coldstart)
        try:
            if step.join:
                return await run.joined(data)
            return await self.runtime.steps.perform(key, ids.digest(event), lambda: run.answers(data), event)
        except _Over:
            return "over"
        except StepConflictError:  # somebody's copy: this request does not fail
            raise
        except Exception as error:
            await self._tell(run, error)
            raise

    async def _tell(self, run: _Run, error: Exception) -> None:
        """Note a failure in the request's trail, each reason once, so that whoever follows the request sees it at once."""
        key, edition = run.key, edition_of(run.event)
        part = {} if key.part is None else {"part": str(key.part)}
        bought = {} if run.usage is None else {"calls": str(run.usage.calls), "tokens": str(run.usage.tokens)}
        attributes = {
            "specversion": "1.0",
            "id": ids.named_id(key.request_id, f"{key}{suffix(edition)} failed: {error}"),
            "source": f"/agents/{self.agent.name}/{key.step}",
            "type": STEP_FAILED,
            "time": self.runtime.clock().isoformat(),
            "requestid": str(key.request_id),
            "retried": "true" if getattr(error, "status", 500) >= 500 else "false",
            **part,
            **bought,
            **({"edition": str(edition)} if edition else {}),
        }
        with contextlib.suppress(EventingError):
            reason = json.dumps({"reason": str(error)[:1500]}).encode()
            await self.runtime.journal.record(key.request_id, Event(attributes, reason))


@dataclass
class _Run:
    """One step, being done."""

    adapter: Adapter
    step: Step
    key: StepKey
    event: Event
    coldstart: bool
    usage: Usage | None = None

    @property
    def runtime(self) -> Runtime:
        return self.adapter.runtime

    async def joined(self, data: Contract) -> str:
        of = getattr(data, "of", 1)
        parts = await self.runtime.steps.join(self.key, self.event, ids.digest(self.event), of)
        if parts is None:
            return "waiting"
        self.key = StepKey(self.key.request_id, self.step.name, edition=self.key.edition)
        # The same parts join to the same digest, whichever of them arrived last.
        whole = Event({"type": self.step.name}, "".join(map(ids.digest, parts)).encode())
        same = [part for part in parts if edition_of(part) == edition_of(self.event)]
        budget = min((part.number("budgettokens") or 0 for part in same), default=self.event.number("budgettokens") or 0)
        self.event = self.event.having(budgettokens=str(budget) if budget else None)
        inputs = [validated(part, contract_for(part.type)) for part in parts]
        return await self.runtime.steps.perform(self.key, ids.digest(whole), lambda: self.answers(inputs), self.event)

    async def answers(self, data: Contract | list[Contract]) -> list[Event]:
        """Run the agent and make events of what it answers."""
        deadline = self._deadline()
        ended, edition = self.runtime.steps.ended, edition_of(self.event)
        closing = self.event.type in self.runtime.workflow.ends
        if not closing and (self.runtime.clock() > deadline or await ended(self.key.request_id, edition)):
            raise _Over
        ctx = self._context(deadline)
        self.usage = ctx.llm.usage
        if not self.adapter.agent.silent:
            self.runtime.waker.begun(self.step)
        started = time.perf_counter()
        answered = await self._handled(data, ctx)
        seconds = time.perf_counter() - started
        self._count(ctx, seconds)
        return self._events(answered, ctx, deadline, round(seconds * 1000))

    def _count(self, ctx: Context, seconds: float) -> None:
        agent, usage = self.adapter.agent.name, ctx.llm.usage
        telemetry.DURATION.observe(seconds, agent, self.step.name)
        if usage.tokens:
            telemetry.TOKENS.add(agent, ctx.llm.name, "input", by=usage.prompt_tokens)
            telemetry.TOKENS.add(agent, ctx.llm.name, "output", by=usage.completion_tokens)
        if usage.cost:
            telemetry.COST.add(agent, ctx.llm.name, usage.currency, by=usage.cost)

    def _deadline(self) -> datetime:
        """What the event says, or follows from its time; never later than that of a request which opens now."""
        now, lasts = self.runtime.clock(), self.runtime.workflow.deadline
        opened = min(self.event.moment("time") or now, now)
        return min(self.event.moment("deadline") or opened + lasts, now + lasts)

    def _context(self, deadline: datetime) -> Context:
        most, given = self.runtime.workflow.budget_tokens, self.event.number("budgettokens")
        budget = most if given is None else min(given, most)
        llm = self.adapter.models.for_step(
            key=str(self.key),
            account=account(self.key.request_id, edition_of(self.event)),
            deadline=deadline,
            budget_tokens=budget,
            time_limit_s=self.runtime.time_limit_s,
            traceparent=telemetry.context().get("traceparent"),
            redriven=is_sent_on(self.event),
        )
        return Context(
            key=self.key,
            llm=llm,
            bucket=self.runtime.store,
            mail=self.runtime.mailer(self.key),
            deadline=deadline,
            budget_tokens=budget,
            public_url=self.runtime.public_url,
            settings=self.runtime.settings,
            clock=self.runtime.clock,
            remember=self._remember,
            done=self._done,
            web=self.runtime.web,
            coming=self.runtime.waker.coming,
        )

    async def _done(self) -> Sequence[StepState]:
        events = await self.runtime.steps.done(self.key.request_id)
        return [step for step in map(step_of, events) if step]

    async def _remember(self, name: str, fn: Callable[[], Awaitable[Any]]) -> Any:
        key = f"{self.key.path()}.once/{name}.json"
        stored = await self.runtime.store.get(key)
        if stored is None:
            stored = json.dumps(await fn()).encode()
            if not await self.runtime.store.create(key, stored, "application/json"):
                stored = await self.runtime.store.get(key) or stored
        return json.loads(stored)

    async def _handled(self, data: Any, ctx: Context) -> Sequence[Contract]:
        agent = self.adapter.agent
        answered = await self._in_time(_called(agent, data, ctx))
        found = [] if answered is None else list(answered) if isinstance(answered, list | tuple) else [answered]
        for answer in found:
            if not isinstance(answer, Contract) or answer.event not in self.step.answers:
                raise self._wrong(given(answer))
            if answer.request_id != self.key.request_id:
                raise self._wrong(f"for another request, {answer.request_id}")
        if answered is None and not agent.silent:
            raise self._wrong("nothing")
        if len(found) > (self.step.fan_out or 1):
            raise WrongAnswerError(
                f"agent {agent.name} gave {len(found)} answers; {self.step.name} may give {self.step.fan_out or 1}"
            )
        return found

    def _wrong(self, answer: str) -> WrongAnswerError:
        agent, at = self.adapter.agent, places.of_function(self.adapter.agent.handler)
        allowed = " or ".join(f"{contract_for(event).__name__}(...), which is {event}" for event in self.step.answers)
        return WrongAnswerError(
            f"agent {agent.name} answered {answer} ({at}); {self.step.name} may answer {allowed or 'nothing'}"
        )

    async def _in_time(self, handling: Coroutine[Any, Any, Any]) -> Any:
        """What the handler answers. One that does not stop when it is told to is left behind."""
        agent, limit = self.adapter.agent, self.runtime.time_limit_s
        with ALARM.watching(agent.name, limit):
            task = asyncio.ensure_future(handling)
            try:
                done, _ = await asyncio.wait({task}, timeout=limit)
            except asyncio.CancelledError:
                task.cancel()
                raise
            if done:
                return task.result()
            at = places.of_task(task) or places.of_function(agent.handler)
            task.cancel()
        raise AgentError(f"agent {agent.name} did not finish step {self.step.name} within {limit:g} s: it waits at {at}")

    def _events(self, answered: Sequence[Contract], ctx: Context, deadline: datetime, duration_ms: int) -> list[Event]:
        left = max(0, ctx.budget_tokens - ctx.llm.usage.tokens)
        request = str(self.key.request_id)
        common = {
            "specversion": "1.0",
            "source": f"/agents/{self.adapter.agent.name}/{self.step.name}",
            "time": self.runtime.clock().isoformat(),
            "datacontenttype": "application/json",
            "subject": request,
            "partitionkey": request,
            "requestid": request,
            "deadline": deadline.isoformat(),
            "workflow": self.runtime.workflow.name,
            "cause": self.event.id,
            "budgettokens": str(left),  # a hint: the scheduler's ledger is what holds
            **telemetry.context(),
        }
        cost = cost_of(ctx.llm.usage, duration_ms, self.coldstart)
        try:
            return events_of(answered, self.key, {**common, **self._edition()}, cost)
        except PydanticSerializationError as error:  # half of a surrogate pair, as some models' bytes come to
            raise self._wrong(f"what cannot be written as JSON: {error}") from error

    def _edition(self) -> dict[str, str]:
        return {name: self.event.get(name) for name in ("edition", "rerun", "targetversion") if self.event.get(name)}


async def _called(agent: Agent, data: Any, ctx: Context) -> Any:
    """What the handler answers. It may not end its process, in which others are at work."""
    try:
        return await agent(data, ctx)
    except (Exception, SystemExit) as error:
        if hasattr(error, "status"):  # errors of eventing and inference say themselves whether to try again
            raise
        raise AgentError(f"agent {agent.name} raised {raised(error)} ({places.of_error(error)})") from error


__all__ = ["Adapter", "EventingError", "Models", "validated"]
