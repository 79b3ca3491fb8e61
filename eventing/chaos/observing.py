"""What is seen of a run: every event in every topic, the mails, what the models were asked, the faults."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

from eventing import kafka
from eventing.chaos.mailing import Mailing
from eventing.envelope import Event, from_record
from eventing.errors import NotACloudEventError
from eventing.state import is_dead_letter
from eventing.workflow import Workflow

_REMEMBERED = 5_000  # records that can be delivered again
_READ_S = 120.0


@dataclass(frozen=True)
class Seen:
    """One event as it lay in a topic; `digest` is of its data."""

    at: float  # seconds since the epoch
    topic: str
    id: str
    type: str
    source: str
    request: str
    part: str = ""
    revision: str = ""
    digest: str = ""
    dead: bool = False
    reason: str = ""

    @property
    def agent(self) -> str:
        """The agent whose step it answers; empty where it is no step's answer."""
        place = self.source.split("/")
        return place[2] if len(place) == 4 and place[1] == "agents" and not self.dead else ""


@dataclass(frozen=True)
class Struck:
    """A fault that struck; `victim` is the agent, broker or effect that it struck."""

    kind: str
    at: float
    victim: str = ""
    until: float | None = None


@dataclass(frozen=True)
class Bought:
    """Model calls: as the scheduler counts them, and as the model server saw them (generations of each key)."""

    generations: int = 0
    call_keys: int = 0
    tokens_twice: int = 0
    at_server: Mapping[str, int] = field(default_factory=dict)
    open_accounts: int | None = 0  # None where the scheduler did not answer


@dataclass(frozen=True)
class Observations:
    """All of it. `admitted` says when the gateway answered 202 for a request; `mailed` has the request of each mail."""

    begun: float
    over: float
    admitted: Mapping[str, float]
    events: Sequence[Seen]
    ends: frozenset[str]
    fails: str | None = None
    refused: Mapping[str, str] = field(default_factory=dict)
    unintended: Mapping[str, int] | None = None  # answers of the gateway that it never means to give; None: it was killed
    mailed: Sequence[str] = ()
    mailings: Mapping[str, Mailing] = field(default_factory=dict)  # of requests that got more than one mail
    mail_expected: bool = False
    struck: Sequence[Struck] = ()
    bought: Bought = Bought()
    missed: Sequence[str] = ()  # faults that found nothing to strike
    unseen: Mapping[str, str] = field(default_factory=dict)  # "events", "mails" or "scheduler", and why they were not seen


def seen(record: kafka.Record) -> Seen | None:
    """The event of a record; None where it is none."""
    try:
        event = from_record(record.headers, record.key, record.value)
    except NotACloudEventError:
        return None
    return Seen(
        at=record.timestamp_ms / 1000,
        topic=record.topic,
        id=event.id,
        type=event.type,
        source=event.source,
        request=event.get("requestid").lower(),
        part=event.get("part"),
        revision=event.get("revision"),
        digest=hashlib.sha256(event.data or event.get("dataref").encode()).hexdigest()[:16],
        dead=is_dead_letter(event),
        reason=_reason(event),
    )


def _reason(event: Event) -> str:
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        return str(json.loads(event.data or b"null").get("reason") or "")[:300]
    return ""


async def everything(bootstrap: str, workflow: Workflow) -> list[Seen]:
    """Every event of a workflow's topics, from the beginning; a Kafka that is still coming back is waited for.

    Raises:
        KafkaUnavailableError: when they cannot be read to their end.
    """
    end = time.monotonic() + _READ_S
    while True:
        try:
            records = await asyncio.to_thread(kafka.read, bootstrap, [*workflow.topics, workflow.dead_letters], 30.0)
            return [event for event in map(seen, records) if event]
        except kafka.KafkaUnavailableError:
            if time.monotonic() > end:
                raise
            await asyncio.sleep(1.0)


class Watch:
    """Follows the topics while a run goes on: which requests have ended, and which records could be delivered again."""

    def __init__(self, bootstrap: str, workflow: Workflow) -> None:
        self._bootstrap, self._topics = bootstrap, [*workflow.topics, workflow.dead_letters]
        self._ends, self._steps = workflow.ends, {event for step in workflow.steps for event in step.takes}
        self.ended: dict[str, float] = {}
        self._known: set[str] = set()
        self.answers = 0
        self.records: deque[kafka.Record] = deque(maxlen=_REMEMBERED)

    async def run(self) -> None:
        """Follow until cancelled; a Kafka that is away is asked again."""
        while True:
            consumer = kafka.Consumer(self._bootstrap, f"torpor-chaos-{uuid4()}", self._topics)
            try:
                while True:
                    for record in await consumer.batch(500, 0.3):
                        self._take(record)
            except kafka.KafkaUnavailableError:
                continue
            finally:
                await asyncio.shield(consumer.close())

    def _take(self, record: kafka.Record) -> None:
        event = seen(record)
        if event is None or event.dead or event.id in self._known:  # a member that was thrown out reads all again
            return
        self._known.add(event.id)
        self.answers += bool(event.agent)
        if event.type in self._ends:
            self.ended.setdefault(event.request, event.at)
        if event.type in self._steps:
            self.records.append(record)

    def older_than(self, moment: float) -> list[kafka.Record]:
        """Records of steps' events that were produced before a moment."""
        return [record for record in self.records if record.timestamp_ms / 1000 < moment]
