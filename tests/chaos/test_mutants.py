"""The exploration finds every protocol that is broken on purpose: a check that cannot fail shows nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from uuid import UUID

import pytest

from eventing import ids
from eventing.agent import StepKey
from eventing.envelope import Event, to_json, written
from eventing.mail import ClaimedMailer
from eventing.step import Run, Steps, _parsed, _result
from functions.tracker.tracking import Tracker
from schemas import contract_for
from tests.chaos.exploring import Delivery, ViolationError, World, explore
from tests.chaos.worlds import EndWorld, JoinWorld, MailWorld, StepWorld


class AnswersBeforeItStores(StepWorld):
    async def begin(self, delivery: Delivery) -> None:
        delivery.answered = True
        await super().begin(delivery)


class PublishesBeforeItStores(Steps):
    async def perform(self, key: StepKey, digest: str, run: Run, cause: Event | None = None) -> str:
        answers = list(await run())
        await self._publish(key, answers, cause)
        await self.objects.create(f"{key.path()}.result.json", _result(digest, list(map(to_json, answers))))
        return "done"


class PublishesWhatItComputed(Steps):
    async def perform(self, key: StepKey, digest: str, run: Run, cause: Event | None = None) -> str:
        answers = list(await run())
        await self.objects.create(f"{key.path()}.result.json", _result(digest, list(map(to_json, answers))))
        await self._publish(key, answers, cause)
        return "done"


class GivesIdsAtRandom(Steps):
    async def send(self, request_id: UUID, event: Event) -> None:
        await self.publish(event.having(id=f"{event.id}, {len(self.objects.objects)}"))  # type: ignore[attr-defined]


class MarksNothing(Steps):
    async def _publish(self, key: StepKey, answers: Sequence[Event], cause: Event | None) -> None:
        for answer in answers:
            await self.send(key.request_id, answer)


class MarksBeforeItPublishes(Steps):
    async def _publish(self, key: StepKey, answers: Sequence[Event], cause: Event | None) -> None:
        await self.objects.mark(f"{key.path()}.published.json", f"{key.path()}.result.json")
        for answer in answers:
            await self.send(key.request_id, answer)


class ForgetsAnAnswer(Steps):
    async def _publish(self, key: StepKey, answers: Sequence[Event], cause: Event | None) -> None:
        await super()._publish(key, answers[:1], cause)


class JoinsTooEarly(Steps):
    async def join(self, key: StepKey, event: Event, digest: str, of: int) -> list[Event] | None:
        return await super().join(key, event, digest, of - 1)


class ListsBeforeItStores(Steps):
    async def join(self, key: StepKey, event: Event, digest: str, of: int) -> list[Event] | None:
        folder = f"requests/{key.request_id}/steps/{key.step}/parts"
        others = set(await self.objects.keys(folder)) - {f"{folder}/{key.part:03d}.json"}
        found = await super().join(key, event, digest, of)
        return found if len(others) == of - 1 else None


class StoresIncomplete(Steps):
    """Whoever comes too early stores that the join is incomplete, as its result."""

    async def join(self, key: StepKey, event: Event, digest: str, of: int) -> list[Event] | None:
        found = await super().join(key, event, digest, of)
        whole = StepKey(key.request_id, key.step)
        if found is None:
            await self.objects.create(f"{whole.path()}.result.json", _result("incomplete", []))
        return found

    async def perform(self, key: StepKey, digest: str, run: Run, cause: Event | None = None) -> str:
        stored = _parsed(await self.objects.get(f"{key.path()}.result.json") or b"{}", "result")
        return await super().perform(key, stored.get("digest", digest), run, cause)


class EndsTwice(Steps):
    async def end(self, request_id: UUID, event: Event) -> Event:
        return written(event)[1]


class EndsInItsOwnWords(Tracker):
    """Claims the end by its id, and publishes what it would say now."""

    async def end(self, request_id: UUID, events: list[Event], reason: str) -> None:
        data = {"request_id": request_id, "topic": "", "reason": reason, "metadata": {}}
        failed = contract_for("research_failed").model_validate(data)
        event = self._event(failed, ids.named_id(request_id, "research_failed"))
        if (await self._runtime.steps.end(request_id, event)).id == event.id:
            await self._runtime.publisher.publish(event)


class SendsUnclaimed(ClaimedMailer):
    async def _claim(self, folder: str) -> int | None:
        return None if await self.objects.get(f"{folder}/sent.json") is not None else 1


class SendsUnmarked(ClaimedMailer):
    async def _mark(self, key: str, sent: bytes) -> None:
        pass


class LooksBeforeItClaims(ClaimedMailer):
    """Does not look once more when the claim is its own."""

    async def _claim(self, folder: str) -> int | None:
        if await self.objects.get(f"{folder}/sent.json") is not None:
            return None
        return await super()._claim(folder) or 99


BROKEN: dict[str, tuple[Callable[[], World], int, str]] = {
    "answers before it stores": (lambda: AnswersBeforeItStores(1), 1, "not published|has no result"),
    "publishes before it stores": (lambda: StepWorld(1, PublishesBeforeItStores), 0, "published what is not stored"),
    "publishes what it computed": (lambda: StepWorld(2, PublishesWhatItComputed), 0, "published what is not stored"),
    "the same after a death": (lambda: StepWorld(1, PublishesWhatItComputed), 1, "published what is not stored"),
    "gives ids at random": (lambda: StepWorld(1, GivesIdsAtRandom), 0, "published what is not stored"),
    "marks nothing": (lambda: StepWorld(2, MarksNothing), 0, "echoed"),
    "marks before it publishes": (lambda: StepWorld(1, MarksBeforeItPublishes), 1, "not published"),
    "forgets an answer": (lambda: StepWorld(1, ForgetsAnAnswer), 0, "not published"),
    "joins too early": (lambda: JoinWorld((1, 2), JoinsTooEarly), 0, "joined 1 of 2 parts"),
    "lists before it stores": (lambda: JoinWorld((1, 2), ListsBeforeItStores), 0, "has no result"),
    "stores that it is incomplete": (lambda: JoinWorld((1, 2), StoresIncomplete), 0, "published set"),
    "ends twice": (lambda: EndWorld(1, 1, EndsTwice), 0, "a request ends once|published what is not stored"),
    "ends in its own words": (lambda: EndWorld(0, 2, tracker=EndsInItsOwnWords), 0, "published what is not stored"),
    "sends unclaimed": (lambda: MailWorld(2, 0, SendsUnclaimed), 0, "sent twice"),
    "sends unmarked": (lambda: MailWorld(1, 0, SendsUnmarked), 0, "not sent"),
    "looks before it claims": (lambda: MailWorld(2, 1, LooksBeforeItClaims), 0, "marked when it was claimed"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_is_found_what(name: str) -> None:
    make, deaths, told = BROKEN[name]
    with pytest.raises(ViolationError, match=told):
        explore(make, deaths)
