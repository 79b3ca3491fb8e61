"""A whole platform in one simulated moment after the other: requests, deliveries, deaths, failures, by a seed.

What is the product's own: adapter, steps, joins, mailer, publisher's codecs, tracker, journal, workflow, and the agents
that buy nothing. What is simulated: the broker, which delivers late, twice and in any order, and again until it is
answered; the store, the scheduler and the mail server, each effect of which may be slow, refused, or lost on its way back;
the clocks; and the processes, each of which may die at any effect.
"""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass
from datetime import timedelta
from email.message import EmailMessage
from types import SimpleNamespace
from unittest import mock
from uuid import UUID

from eventing.adapter import Adapter
from eventing.agent import StepKey
from eventing.envelope import Event, written
from eventing.mail import ClaimedMailer
from eventing.step import Steps
from eventing.testing import NOON
from eventing.testing.loop import SimulatedLoop
from functions.accounts import Desk
from functions.tracker.tracking import TICK, Tracker
from tests.chaos.agents import AGENTS
from tests.chaos.processes import WORKFLOW, Death, Process
from tests.chaos.worlds import answers_of, same

CALM_S, END_S = 20 * 60.0, 45 * 60.0  # nothing fails after the first; ticks come until the second
TICKS_S = 300.0
RETRIES, AGAIN = 40, (404, 408, 409, 429)


@dataclass(frozen=True)
class Protocol:
    """What is simulated; a test puts a broken one in."""

    steps: type[Steps] = Steps
    mailer: type[ClaimedMailer] = ClaimedMailer
    tracker: type[Tracker] = Tracker
    early: bool = False  # answers before anything is done: what fails then is not delivered again


class Simulation:
    """Everything that one seed leads to."""

    def __init__(self, seed: int, protocol: Protocol | None = None) -> None:
        self.seed, self.protocol, self._random = seed, protocol or Protocol(), random.Random(seed)
        self.dying = self._random.choice((0.0, 0.004, 0.02))
        self.failing = self._random.choice((0.0, 0.01, 0.05))
        self.doubling = self._random.choice((0.0, 0.1, 0.4))
        self.slow = self._random.choice((0.0, 0.01, 0.05))
        self.loop = SimulatedLoop(self.delay)
        self.objects: dict[str, bytes] = {}
        self.published: dict[str, set[bytes]] = {}
        self.ends: dict[str, set[str]] = {}
        self.finished: dict[str, int] = {}  # id of an answer -> when its step was acknowledged, counted in deliveries
        self.bought: dict[str, str] = {}
        self.letters: dict[str, list[tuple[Process, str]]] = {}
        self.twice_allowed: set[str] = set()
        self.closed: set[str] = set()
        self.history: list[str] = []
        self.violations: list[str] = []
        self.requests = [UUID(int=self._random.getrandbits(128), version=4) for _ in range(self._random.randint(1, 2))]
        self._under_way: set[asyncio.Task[None]] = set()
        self._deliveries = 0

    def chance(self, probability: float) -> bool:
        return self.loop.time() < CALM_S and self._random.random() < probability

    def delay(self) -> float:
        slow = self.loop.time() < CALM_S and self._random.random() < self.slow
        return self._random.uniform(1.0, 12.0) if slow else self._random.uniform(0.001, 0.05)

    def tell(self, what: str) -> None:
        self.history.append(f"{self.loop.time():9.3f}  {what}")

    def holds(self, true: object, what: str) -> None:
        if not true:
            self.tell(f"VIOLATION: {what}")
            self.violations.append(what)

    def run(self) -> Simulation:
        """Go through the seed to its end; what did not hold is in `violations`."""
        try:
            # What a step took is told in its events: it must be the same each time.
            with mock.patch("eventing.adapter.time", SimpleNamespace(perf_counter=self.loop.time)):
                self.loop.run_until_complete(self._all())
        finally:
            self.loop.close()
        self._check()
        return self

    async def _all(self) -> None:
        for number, request_id in enumerate(self.requests):
            data = {"request_id": str(request_id), "topic": f"topic {number}", "depth": self._random.randint(1, 3)}
            about = {"id": str(request_id), "source": "/gateway", "type": WORKFLOW.opens, "requestid": str(request_id)}
            content = json.dumps(data | {"metadata": {"email": "you@example.org"}}).encode()
            self._spread(Event({"specversion": "1.0", "time": NOON.isoformat(), **about}, content))
        while self.loop.time() < END_S or self._under_way:
            await asyncio.sleep(TICKS_S)
            if self.loop.time() >= END_S:
                continue
            tick = {"specversion": "1.0", "id": f"tick {self.loop.time()}", "source": "/ticks", "type": TICK}
            self._start(Event(tick, None), "tracker")

    def _spread(self, event: Event) -> None:
        """Deliver an event to everybody who takes it."""
        for where in [step.agent for step in WORKFLOW.steps if event.type in step.takes] + ["tracker"]:
            for _ in range(2 if self.chance(self.doubling) else 1):
                self._start(event, where)

    def _start(self, event: Event, where: str) -> None:
        task = self.loop.create_task(self._deliver(event, where))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _deliver(self, event: Event, where: str) -> None:
        status, reason = 500, ""
        for attempt in range(RETRIES + 1):
            await asyncio.sleep(self.delay() * 5 + 2 * attempt)
            self._deliveries += 1
            skew = timedelta(seconds=self._random.uniform(-2, 2))
            process = Process(self, f"{where} {self._deliveries}", self._deliveries, skew)
            try:
                said = await self._taken(process, event, where)
                await process.moment("its answer", "before")
            except Death:
                status, reason = 502, "died"
            except Exception as error:
                self.tell(f"{process.name}: {type(error).__name__}: {error}")
                self.holds(hasattr(error, "status"), f"an error that says no status: {error!r}")
                status, reason = getattr(error, "status", 500), str(error)
            else:
                self._acknowledged(event, where, said)
                return
            finally:
                if process.handed_in and f"requests/{event.get('requestid')}/mail/sent.json" not in self.objects:
                    self.twice_allowed.add(event.get("requestid"))
            if self.protocol.early:
                self._acknowledged(event, where, "early")
                return
            if status < 500 and status not in AGAIN:
                break
        if where != "tracker":
            self._start(event.having(knativeerrordest=where, knativeerrorcode=str(status), reason=reason[:200]), "tracker")

    async def _taken(self, process: Process, event: Event, where: str) -> str:
        runtime = process.runtime()
        if where == "tracker":
            return await self.protocol.tracker(runtime, Desk(process)).take(event)  # type: ignore[arg-type]
        return await Adapter(AGENTS[where], runtime, process).take(event)  # type: ignore[arg-type]

    def _acknowledged(self, event: Event, where: str, said: str) -> None:
        self.tell(f"{where} acknowledges {event.type} {event.id[:8]}: {said}")
        if where == "tracker" or said in ("waiting", "over"):
            return
        step = next(step for step in WORKFLOW.steps if step.agent == where and event.type in step.takes)
        if step.join and said == "early":  # it may have been one that waits
            return
        request_id = UUID(event.get("requestid"))
        part, revision = event.get("part"), event.get("revision")
        own = StepKey(request_id, step.name, int(part) if part else None, int(revision or 0))
        key = StepKey(request_id, step.name) if step.join else own
        result = self.objects.get(f"{key.path()}.result.json")
        self.holds(result is not None, f"{key} was acknowledged and has no result")
        self.holds(
            not step.answers or answers_of(result or b'{"answers": []}'), f"{key} was acknowledged and answers nothing"
        )
        sent = where != "notifier" or f"requests/{request_id}/mail/sent.json" in self.objects
        self.holds(sent, f"{key} was acknowledged and its mail is not marked as sent")
        outcome = json.loads(self.objects.get(f"requests/{request_id}/outcome.json", b"{}")).get("id")
        for answer in answers_of(result or b'{"answers": []}'):
            content = json.loads(answer)
            if content["type"] in WORKFLOW.ends and content["id"] != outcome:
                continue
            self.holds(answer in self.published.get(content["id"], ()), f"{key} was acknowledged, not published: {content}")
            self.finished.setdefault(content["id"], self._deliveries)

    def publish(self, process: Process, event: Event) -> None:
        """The broker takes an event, for good."""
        text, event = written(event)
        content = same(json.loads(text))
        if event.type != "workflow_state":
            self._is_stored(event, content)
            late = process.name.startswith("tracker") or process.began <= self.finished.get(event.id, process.began)
            self.holds(late, f"echoed after its step was acknowledged: {event.type} {event.id}")
            self.published.setdefault(event.id, set()).add(content)
            self.holds(len(self.published[event.id]) == 1, f"one id, several payloads: {event.type} {event.id}")
            if event.type in WORKFLOW.ends:
                self.ends.setdefault(event.get("requestid"), set()).add(event.id)
            self._spread(event)

    def _is_stored(self, event: Event, content: bytes) -> None:
        folder, endings = f"requests/{event.get('requestid')}/", (".result.json", "/outcome.json")
        kept = (value for key, value in self.objects.items() if key.startswith(folder) and key.endswith(endings))
        found = any(content in answers_of(value) for value in kept)
        self.holds(found, f"published what is not stored: {event.type} {event.id}")

    def buy(self, call: str, prompt: str) -> str:
        """The scheduler: a call is generated once, and answered from the journal after."""
        self.holds(self.bought.setdefault(call, prompt) == prompt, f"one call, two prompts: {call}")
        return f"said {list(self.bought).index(call)}"

    def accept(self, process: Process, message: EmailMessage) -> None:
        name = message["Message-ID"]
        request = name.strip("<>").split("@")[0]
        self.tell(f"{process.name}: the mail {name} is taken")
        letters = self.letters.setdefault(request, [])
        self.holds(not letters or request in self.twice_allowed, f"mail sent twice outside of every window: {name}")
        letters.append((process, name))

    def _check(self) -> None:
        """What holds of every request once everything has come to rest."""
        for request in map(str, self.requests):
            ends = self.ends.get(request, set())
            self.holds(len(ends) == 1, f"request {request} ended {len(ends)} times")
            end = json.loads(self.objects.get(f"requests/{request}/outcome.json", b"{}")).get("type")
            healthy = not (self.dying or self.failing)
            self.holds(not healthy or end == "research_complete", f"nothing failed, and request {request} ended as {end}")
            self.holds(self.letters.get(request), f"no mail of request {request}")
            self.holds(request in self.closed, f"the account of request {request} is open")
        tickets = [key for key in self.objects if key.startswith("deadlines/")]
        self.holds(not tickets, f"deadlines that nobody will look at: {tickets}")
