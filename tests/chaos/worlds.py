"""What deliveries share while every interleaving of them is explored, and what must hold in it whatever happens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from email.message import EmailMessage
from functools import lru_cache
from typing import Any, TypeVar

from eventing import ids
from eventing.agent import StepKey
from eventing.envelope import Event, to_json
from eventing.errors import EventingError, PublishError, StoreError
from eventing.mail import LEASE, ClaimedMailer, MailError, Server
from eventing.runtime import Runtime
from eventing.step import Steps
from eventing.testing import NOON, REQUEST
from eventing.testing.shelf import Shelf
from functions.tracker.tracking import Tracker
from tests.chaos.exploring import Delivery, World, holds

T = TypeVar("T")
ENDS = frozenset({"research_complete", "research_failed"})
Kind = Callable[..., Steps]


def event_of(key: StepKey, number: int, kind: str, text: str) -> Event:
    base = {"specversion": "1.0", "id": ids.answer_id(key, number), "source": "/test", "type": kind}
    return Event({**base, "requestid": str(key.request_id), "time": NOON.isoformat()}, json.dumps({"text": text}).encode())


@lru_cache(10_000)
def answers_of(result: bytes) -> tuple[bytes, ...]:
    content = json.loads(result)
    return tuple(same(answer) for answer in content.get("answers", [content]))


def same(content: Any) -> bytes:
    return json.dumps(content, sort_keys=True).encode()


class StepWorld(World):
    """Deliveries of the events of one step, which answers with something else on every run."""

    key = StepKey(REQUEST, "research", 1)
    answers = ("summary_ready", "validation_passed")

    def __init__(self, deliveries: int = 2, steps: Kind = Steps, answers: int | None = None) -> None:
        super().__init__()
        self.answers = self.answers[:answers]
        self.kind, self.objects, self.published = steps, dict[str, bytes](), set[tuple[str, bytes]]()
        for _ in range(deliveries):
            self.deliver(self.begin)

    async def begin(self, delivery: Delivery) -> None:
        await self.steps(delivery).perform(self.key, "digest", lambda: self.run(delivery))

    async def run(self, delivery: Delivery) -> Sequence[Event]:
        ran = f"run {delivery.attempt} of delivery {delivery.number}"
        return [event_of(self.key, number, kind, ran) for number, kind in enumerate(self.answers)]

    def steps(self, delivery: Delivery) -> Steps:
        async def effect(what: str, do: Callable[[], T], error: type[EventingError] = StoreError) -> T:
            def checked() -> T:
                self.before(delivery, what)
                return do()

            return await delivery.effect(what, checked, error)

        async def publish(event: Event) -> None:
            await effect(f"publish {event.type}", lambda: self.publish(delivery, event), PublishError)

        return self.kind(Shelf(self.objects, effect), publish, ENDS)

    def before(self, delivery: Delivery, what: str) -> None:
        """The invariants of an effect that is about to take place."""
        delivery.notes.setdefault("late", any(other.acknowledged for other in self.deliveries if other is not delivery))
        if what.startswith("mark "):
            self.all_published(what.removeprefix("mark ").removesuffix(".published.json"))

    def publish(self, delivery: Delivery, event: Event) -> None:
        content = same(json.loads(to_json(event)))
        holds(content in self.stored(), f"published what is not stored: {event}")
        holds(not delivery.notes["late"], f"echoed after the step was acknowledged: {event}")
        self.published.add((event.id, content))
        payloads = [payload for name, payload in self.published if name == event.id]
        holds(len(payloads) == 1, f"one id, several payloads: {payloads}")

    def stored(self) -> set[bytes]:
        kept = (".result.json", "/outcome.json")
        return {answer for key, value in self.objects.items() if key.endswith(kept) for answer in answers_of(value)}

    def all_published(self, path: str) -> None:
        """Each stored answer of a step was acknowledged by the broker, but for an end that another was before."""
        result = self.objects.get(f"{path}.result.json")
        holds(result is not None, f"{path} has no result")
        outcome = json.loads(self.objects.get(f"requests/{REQUEST}/outcome.json", b"{}")).get("id")
        for answer in answers_of(result or b"{}"):
            content = json.loads(answer)
            if content["type"] in ENDS and outcome is not None and content["id"] != outcome:
                continue
            holds((content["id"], answer) in self.published, f"not published: {content}")

    def state(self) -> object:
        return frozenset(self.objects.items()), frozenset(self.published)

    def acknowledged(self, delivery: Delivery) -> None:
        self.all_published(self.key.path())

    def ended(self) -> None:
        self.all_published(self.key.path())
        ids_ = [ids.answer_id(self.key, number) for number, _ in enumerate(self.answers)]
        holds({name for name, _ in self.published} == set(ids_), f"published {self.published}, expected {ids_}")


class JoinWorld(StepWorld):
    """A part each delivery; a part may come twice. The step that joins them runs once all are there, as the adapter has it."""

    key = StepKey(REQUEST, "aggregate")
    answers = ("research_results",)

    def __init__(self, parts: Sequence[int] = (1, 2), steps: Kind = Steps) -> None:
        super().__init__(0, steps)
        self.of = len(set(parts))
        for part in parts:
            self.deliver(lambda delivery, part=part: self.joined(delivery, part))  # type: ignore[misc]

    async def joined(self, delivery: Delivery, part: int) -> None:
        steps, key = self.steps(delivery), StepKey(REQUEST, "aggregate", part)
        event = event_of(StepKey(REQUEST, "validate", part), 0, "validation_passed", f"part {part}")
        parts = await steps.join(key, event, ids.digest(event), self.of)
        if parts is None:
            return
        holds(len({part.id for part in parts}) == self.of, f"joined {len(parts)} of {self.of} parts")
        digest = "".join(map(ids.digest, parts))
        await steps.perform(self.key, digest, lambda: self.run(delivery))

    def before(self, delivery: Delivery, what: str) -> None:
        # That a part was acknowledged says nothing of the whole.
        delivery.notes.setdefault("late", f"{self.key.path()}.published.json" in self.objects)
        super().before(delivery, what)

    def acknowledged(self, delivery: Delivery) -> None:
        parts = [key for key in self.objects if "/parts/" in key]
        holds(parts, "acknowledged a part that is not stored")
        if all(other.acknowledged for other in self.deliveries):
            super().acknowledged(delivery)


class EndWorld(StepWorld):
    """A step that ends the request, and the tracker, which ends it for one reason or another, each in its own words."""

    key = StepKey(REQUEST, "format")
    answers = ("research_complete",)

    def __init__(
        self, deliveries: int = 1, trackers: int = 2, steps: Kind = Steps, tracker: type[Tracker] = Tracker
    ) -> None:
        super().__init__(deliveries, steps)
        self.tracker, self.finishing = tracker, deliveries
        for _ in range(trackers):
            self.deliver(self.fail)

    async def fail(self, delivery: Delivery) -> None:
        runtime = Runtime({}, clock=lambda: NOON + LEASE * delivery.number)
        steps = self.steps(delivery)
        publisher = type("Publisher", (), {"publish": staticmethod(steps.publish)})()
        runtime.__dict__.update(steps=steps, publisher=publisher, store=steps.objects, journal=None)
        await self.tracker(runtime).end(REQUEST, [], f"delivery {delivery.number}, attempt {delivery.attempt}")

    def before(self, delivery: Delivery, what: str) -> None:
        delivery.notes["late"] = False  # two that end the request publish one end twice
        super().before(delivery, what)

    def acknowledged(self, delivery: Delivery) -> None:
        if delivery.number < self.finishing:
            super().acknowledged(delivery)
        else:
            holds(self.published, "acknowledged, and no end was published")

    def ended(self) -> None:
        self.all_published(self.key.path())
        holds(len(self.published) == 1, f"a request ends once: {self.published}")


class MailWorld(World):
    """Deliveries of the event that a mail is sent for."""

    def __init__(self, deliveries: int = 2, jumps: int = 1, mailer: type[ClaimedMailer] = ClaimedMailer) -> None:
        super().__init__()
        self.jumps, self.now, self.mailer = jumps, NOON, mailer
        self.objects, self.letters, self.lost = dict[str, bytes](), list[tuple[dict[str, Any], str]](), False
        for _ in range(deliveries):
            self.deliver(self.begin)

    async def begin(self, delivery: Delivery) -> None:
        async def effect(what: str, do: Callable[[], T], error: type[EventingError] = StoreError) -> T:
            def checked() -> T:
                if what.startswith("create") and "/claim-" in what and "returned" not in what:
                    delivery.notes["marked before its claim"] = self.sent
                return do()

            return await delivery.effect(what, checked, error)

        def now() -> datetime:
            delivery.observed.append(self.now.isoformat())
            return self.now

        async def sleep(seconds: float) -> None:
            pass

        world = self

        class Mailer(self.mailer):  # type: ignore[name-defined,misc]
            async def _deliver(self, message: EmailMessage, until: datetime) -> None:
                await effect("hand the mail in", lambda: world.accept(delivery, message), MailError)

        message = EmailMessage()
        message["To"], message["Message-ID"] = "you@example.org", f"<{REQUEST}@torpor>"
        shelf, key = Shelf(self.objects, effect), StepKey(REQUEST, "notify")
        # One more look at a held claim: each multiplies the orders there are.
        await Mailer(Server("h", 25), "me@example.org", shelf, key, now, sleep, held_again=(0.1,)).send(message)

    @property
    def sent(self) -> bool:
        return f"requests/{REQUEST}/mail/sent.json" in self.objects

    def accept(self, delivery: Delivery, message: EmailMessage) -> None:
        holds(not delivery.notes.get("marked before its claim"), "sent although it was marked when it was claimed")
        others = [notes for notes, _ in self.letters if notes is not delivery.notes]
        allowed = self.lost or delivery.notes.get("slow") or any(notes.get("slow") for notes in others)
        self.letters.append((delivery.notes, message["Message-ID"]))
        holds(len(self.letters) == 1 or allowed, "sent twice, outside of every window")
        holds(len({name for _, name in self.letters}) == 1, "another Message-ID")

    def failed(self, delivery: Delivery, died: bool) -> None:
        """Where its answer was lost, the claim is returned and nobody need wait."""
        self.lost = self.lost or (not died and any(notes is delivery.notes for notes, _ in self.letters))

    def jump(self) -> None:
        """Whoever goes on afterwards was slower than the lease; so is whoever will never go on."""
        self.now += LEASE * 1.01
        under_way = [delivery.notes for delivery in self.deliveries if not delivery.acknowledged]
        for notes in under_way + ([] if self.sent else [notes for notes, _ in self.letters]):
            notes["slow"] = True

    def state(self) -> object:
        letters = tuple(bool(notes.get("slow")) for notes, _ in self.letters)
        return frozenset(self.objects.items()), letters, self.lost, self.now

    def acknowledged(self, delivery: Delivery) -> None:
        holds(self.sent and self.letters, "acknowledged a mail that is not sent")
