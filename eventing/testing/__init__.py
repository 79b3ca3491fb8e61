"""Fakes of product quality: a bucket in memory, a mailbox, a broker that records, a context for calling an agent."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from typing import Any
from uuid import UUID

from eventing.agent import Context, Fetcher, Model, StepKey
from eventing.envelope import Event
from eventing.store import Store
from schemas import StepState

REQUEST = UUID("00000000-0000-4000-8000-000000000001")
NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)


def memory_bucket() -> Store:
    """A bucket in memory: the real store over obstore's memory backend."""
    return Store.open("memory:///")


@dataclass
class Outbox:
    """A mailer that keeps what it is given."""

    letters: list[EmailMessage] = field(default_factory=list)

    async def send(self, message: EmailMessage) -> bool:
        self.letters.append(message)
        return True


@dataclass
class Broker:
    """Publishes by keeping; `fail` of the next publishings raise `error`."""

    events: list[Event] = field(default_factory=list)
    fail: int = 0
    error: Exception = field(default_factory=lambda: OSError("broker unavailable"))

    async def publish(self, event: Event) -> None:
        if self.fail:
            self.fail -= 1
            raise self.error
        self.events.append(event)


def context(
    llm: Model,
    *,
    step: str = "test",
    part: int | None = None,
    revision: int = 0,
    bucket: Store | None = None,
    mail: Outbox | None = None,
    now: datetime = NOON,
    deadline: datetime | None = None,
    budget_tokens: int = 100_000,
    settings: Mapping[str, str] | None = None,
    request_id: UUID = REQUEST,
    steps: Sequence[StepState] = (),
    web: Fetcher | None = None,
) -> Context:
    """A context for calling an agent in a test; the clock stands still, `once` remembers in memory."""
    remembered: dict[str, Any] = {}

    async def remember(name: str, fn: Callable[[], Awaitable[Any]]) -> Any:
        if name not in remembered:
            remembered[name] = await fn()
        return remembered[name]

    async def done() -> Sequence[StepState]:
        return steps

    return Context(
        key=StepKey(request_id, step, part, revision),
        llm=llm,
        bucket=bucket or memory_bucket(),
        mail=mail or Outbox(),
        deadline=deadline or now + timedelta(minutes=30),
        budget_tokens=budget_tokens,
        public_url="http://localhost:8080",
        settings=settings or {},
        clock=lambda: now,
        remember=remember,
        done=done,
        web=web,
    )
