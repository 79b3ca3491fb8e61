"""The protocol of a step under a crash at every effect, before it and after it, and under workers at once."""

import asyncio
import itertools
import json
from collections import Counter

import pytest

from eventing.agent import StepKey
from eventing.envelope import Event, to_json
from eventing.errors import StepConflictError
from eventing.ids import answer_id
from eventing.step import Steps
from eventing.testing import NOON, REQUEST, memory_bucket

KEY = StepKey(REQUEST, "research", 1)


class Crash(BaseException):
    """The process dies: nothing that it would have done afterwards is done."""


class World:
    """A bucket and a broker whose every effect is counted; the process dies before or after the chosen one."""

    def __init__(self) -> None:
        self.bucket, self.published, self.runs = memory_bucket(), [], 0
        self.effects, self.dies_at, self.after = 0, None, False

    async def effect(self, do):
        self.effects += 1
        if self.dies_at == self.effects and not self.after:
            raise Crash
        result = await do()
        if self.dies_at == self.effects and self.after:
            raise Crash
        return result

    async def create(self, key, data, content_type="application/json"):
        return await self.effect(lambda: self.bucket.create(key, data, content_type))

    async def mark(self, key, of):
        return await self.effect(lambda: self.bucket.mark(key, of))

    async def get(self, key):
        return await self.effect(lambda: self.bucket.get(key))

    async def keys(self, prefix):
        return await self.effect(lambda: self.bucket.keys(prefix))

    async def publish(self, event):
        async def do():
            stored = json.loads(await self.bucket.get(f"{KEY.path()}.result.json") or b"{}")
            assert json.loads(to_json(event)) in stored.get("answers", []), "published what is not stored"
            self.published.append((event.id, event.data))

        await self.effect(do)

    async def run(self):
        """Every run computes something else, as a model does."""
        self.runs += 1
        return [answer(n, f"run {self.runs}", "research_complete" if n else "summary_ready") for n in range(2)]

    async def deliver(self, digest="d"):
        return await Steps(self, self.publish, frozenset({"research_complete"})).perform(KEY, digest, self.run)


def answer(number: int, text: str, kind: str) -> Event:
    attributes = {"specversion": "1.0", "id": answer_id(KEY, number), "source": "/t", "type": kind, "time": NOON.isoformat()}
    return Event(attributes, json.dumps({"text": text}).encode())


async def effects_of_one_delivery() -> int:
    world = World()
    await world.deliver()
    return world.effects


async def test_a_crash_at_every_effect_ends_in_the_same_answers_after_redelivery():
    count = await effects_of_one_delivery()
    assert count == 6  # look up, store, publish, claim the end, publish, mark
    for dies_at, after in itertools.product(range(1, count + 1), (False, True)):
        world = World()
        world.dies_at, world.after = dies_at, after
        with pytest.raises(Crash):
            await world.deliver()
        world.dies_at = None
        await world.deliver()
        assert await world.deliver() == "duplicate"
        by_id = {name: {data for other, data in world.published if other == name} for name, _ in world.published}
        assert set(by_id) == {answer_id(KEY, 0), answer_id(KEY, 1)}, (dies_at, after)
        assert all(len(payloads) == 1 for payloads in by_id.values()), (dies_at, after, by_id)
        stored = await world.bucket.get(f"{KEY.path()}.result.json")
        assert world.runs == 1 or b"run 2" in stored, "a stored result was bought twice"


async def test_after_the_marker_nothing_is_echoed():
    world = World()
    await world.deliver()
    published = list(world.published)
    assert [await world.deliver() for _ in range(3)] == ["duplicate"] * 3
    assert world.published == published


async def test_workers_at_once_publish_one_payload_for_each_answer():
    for workers in (2, 3, 8):
        world = World()
        await asyncio.gather(*(world.deliver() for _ in range(workers)))
        assert all(count == 1 for count in Counter(name for name, _ in set(world.published)).values())


async def test_another_input_is_refused_whether_or_not_it_was_published():
    world = World()
    await world.deliver("one")
    with pytest.raises(StepConflictError):
        await world.deliver("other")
    unpublished = World()
    unpublished.dies_at = 5
    with pytest.raises(Crash):
        await unpublished.deliver("one")
    unpublished.dies_at = None
    assert await unpublished.bucket.get(f"{KEY.path()}.result.json")
    with pytest.raises(StepConflictError):
        await unpublished.deliver("other")


async def test_of_two_ends_only_the_first_is_published():
    world = World()
    other = answer(9, "overdue", "research_failed")
    await Steps(world, world.publish).end(REQUEST, other)
    await world.deliver()
    assert [name for name, _ in world.published] == [answer_id(KEY, 0)]
