"""Where a request stands must not depend on the order in which its events arrived, nor on their number of arrivals."""

import asyncio
import hashlib
import json
import random
from datetime import timedelta
from uuid import uuid4

import pytest

from eventing.envelope import Event
from eventing.runtime import Runtime
from eventing.state import Journal, fold, in_order, notes, overdue
from eventing.step import Steps
from eventing.testing import NOON, REQUEST, Broker, memory_bucket
from eventing.workflow import named
from functions.accounts import Desk
from functions.tracker.tracking import TICK, Tracker
from inference.errors import ModelUnavailableError

WORKFLOW = named("research")


def event(kind: str, data: dict, at: int = 0, source: str = "/gateway", **attributes: str) -> Event:
    base = {"specversion": "1.0", "id": f"{kind}-{at}", "source": source, "type": kind, "requestid": str(REQUEST)}
    base["time"] = (NOON + timedelta(seconds=at)).isoformat()
    return Event({**base, **attributes}, json.dumps({"request_id": str(REQUEST), **data}).encode())


def history() -> list[Event]:
    cost = {"durationms": "1500", "tokens": "20", "coldstart": "true"}
    return [
        event("research_requests", {"topic": "sleep", "depth": 2, "metadata": {"email": "a@b.c"}}),
        event("research_questions", {"part": 1, "of": 2}, 1, "/agents/planner/plan", part="1", **cost),
        event("research_questions", {"part": 2, "of": 2}, 2, "/agents/planner/plan", part="2"),
        event(
            "summary_ready",
            {"part": 1, "of": 2, "claims": [1, 2]},
            3,
            "/agents/research_assistant/research",
            part="1",
            **cost,
        ),
        event("validation_passed", {"part": 1, "of": 2}, 4, "/agents/validator/validate", part="1", **cost),
        event(
            "part_abandoned",
            {"part": 2, "of": 2, "reason": "nothing found"},
            5,
            "/agents/research_assistant/research",
            part="2",
            **cost,
        ),
        event("research_complete", {"metadata": {"link": "http://x/report"}}, 6, "/agents/formatter/format", **cost),
    ]


def test_any_order_of_the_same_events_gives_the_same_state():
    expected = fold(REQUEST, history(), WORKFLOW)
    assert (expected.status, expected.topic, expected.parts, expected.parts_done, expected.parts_abandoned) == (
        "complete",
        "sleep",
        2,
        2,
        1,
    )
    assert expected.link == "http://x/report" and expected.tokens == 100 and len(expected.steps) == 5
    for seed in range(50):
        events = history()
        random.Random(seed).shuffle(events)
        assert fold(REQUEST, events, WORKFLOW) == expected


def test_the_deadline_counts_to_the_moment():
    events = history()[:2]
    events.append(event("step_failed", {"reason": "out of ink"}, source="/agents/planner/plan"))
    state = fold(REQUEST, events, WORKFLOW)
    assert overdue(state, events, NOON + timedelta(minutes=30)).status == "running"
    late = overdue(state, events, NOON + timedelta(minutes=30, seconds=1))
    assert late.status == "failed"
    assert late.reason == "the deadline 2026-01-01 12:30:00 UTC has passed; the last failure was in planner/plan: out of ink"


async def test_the_journal_notes_each_event_once_and_no_large_data():
    journal = Journal(memory_bucket())
    first = event("research_requests", {"topic": "sleep", "padding": "x" * 100_000})
    assert await journal.record(REQUEST, first)
    assert not await journal.record(REQUEST, first)
    (noted,) = await journal.events(REQUEST)
    assert notes(noted) == {"topic": "sleep"}
    assert await journal.record(REQUEST, event("summary_ready", {}, 1).having(datacontenttype="text/plain"))


class World:
    def __init__(self) -> None:
        self.broker, self.now = Broker(), NOON
        self.runtime = Runtime({}, clock=lambda: self.now)
        store = memory_bucket()
        self.runtime.__dict__.update(
            store=store, publisher=self.broker, steps=Steps(store, self.broker.publish, frozenset(WORKFLOW.ends))
        )
        self.tracker = Tracker(self.runtime)

    def published(self, kind: str) -> list[dict]:
        return [json.loads(e.data) for e in self.broker.events if e.type == kind]


def test_a_dead_letter_comes_after_the_failures_that_it_died_of():
    alive = event("research_questions", {"part": 1}, 1)
    dead = alive.having(knativeerrorcode="500")
    failures = [
        event("step_failed", {"reason": "no luck"}, at, "/agents/research_assistant", cause=alive.id) for at in (3, 5)
    ]
    between, end = event("validation_passed", {"part": 2}, 4), event("research_failed", {"reason": "no luck"}, 6)
    assert in_order([end, dead, *failures, between, alive]) == [alive, failures[0], between, failures[1], dead, end]


async def test_snapshots_follow_every_event():
    world = World()
    for one in history():
        assert await world.tracker.take(one) == "done"
    assert [s["status"] for s in world.published("workflow_state")] == ["running"] * 6 + ["complete"]
    assert await world.tracker.take(history()[0]) == "duplicate"
    assert world.broker.events[-1].id == world.broker.events[-2].id


class Accounts:
    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.closed = error, []

    async def close(self, request: str) -> None:
        self.closed.append(request)
        if self.error:
            raise self.error


@pytest.mark.parametrize("error", [None, ModelUnavailableError("no scheduler")])
async def test_the_account_of_a_request_is_closed_when_it_has_ended_wherever_the_scheduler_is(error):
    world, accounts = World(), Accounts(error)
    world.tracker = Tracker(world.runtime, Desk(accounts))
    for one in history()[:-1]:
        await world.tracker.take(one)
    assert accounts.closed == []
    assert await world.tracker.take(history()[-1]) == "done"
    assert accounts.closed == [str(REQUEST)]


async def test_an_account_that_the_scheduler_was_not_there_to_close_is_closed_by_a_later_tick():
    world, accounts = World(), Accounts(ModelUnavailableError("no scheduler"))
    world.tracker = Tracker(world.runtime, Desk(accounts))
    for one in history():
        await world.tracker.take(one)
    tick = Event({"specversion": "1.0", "id": "t", "source": "/ping", "type": TICK})
    accounts.error = None
    for _ in range(2):
        await world.tracker.take(tick)
    assert accounts.closed == [str(REQUEST)] * 2


async def test_accounts_of_requests_that_end_at_once_are_each_closed_and_none_twice():
    world, accounts = World(), Accounts()

    async def slowly(request: str) -> None:
        await asyncio.sleep(0.01)
        accounts.closed.append(request)

    accounts.close = slowly
    world.tracker = Tracker(world.runtime, Desk(accounts))
    requests = [str(uuid4()) for _ in range(8)]
    ends = [history()[-1].having(requestid=request) for request in requests]
    await asyncio.gather(*map(world.tracker.take, ends))
    assert sorted(accounts.closed) == sorted(requests)


async def test_the_account_of_a_request_that_is_ended_is_closed_by_the_event_that_says_so():
    world, accounts = World(), Accounts()
    world.tracker = Tracker(world.runtime, Desk(accounts))
    await world.tracker.take(history()[0])
    world.now += timedelta(minutes=31)
    assert await world.tracker.expire() == 1 and accounts.closed == []
    await world.tracker.take(next(e for e in world.broker.events if e.type == "research_failed"))
    assert accounts.closed == [str(REQUEST)]


async def test_an_overdue_request_is_ended_once_with_a_reason_and_its_address():
    world = World()
    await world.tracker.take(history()[0])
    tick = Event({"specversion": "1.0", "id": "t", "source": "/ping", "type": TICK})
    assert await world.tracker.take(tick) == "expired 0"
    world.now += timedelta(minutes=31)
    assert await world.tracker.take(tick) == "expired 1"
    assert await world.tracker.take(tick) == "expired 0"
    (failed,) = world.published("research_failed")
    assert "the deadline 2026-01-01 12:30:00 UTC has passed" in failed["reason"]
    assert failed["metadata"]["email"] == "a@b.c"


async def test_a_request_that_completed_is_not_ended_again():
    world = World()
    for one in history():
        await world.tracker.take(one)
    world.now += timedelta(hours=1)
    assert await world.tracker.expire() == 0
    assert not world.published("research_failed")


async def test_a_dead_letter_ends_its_request_and_says_why():
    world = World()
    await world.tracker.take(history()[0])
    dead = history()[1].having(
        knativeerrorcode="503",
        knativeerrordest="http://research-assistant",
        failedstep="research_assistant",
        reason="model down",
    )
    assert await world.tracker.take(dead) == "done"
    (failed,) = world.published("research_failed")
    assert failed["reason"] == "research_assistant could not handle research_questions after all its retries: model down"


async def test_a_refused_copy_of_somebody_elses_request_harms_nobody():
    world = World()
    await world.tracker.take(history()[0])
    await world.tracker.take(history()[0].having(id="other", knativeerrorcode="422", error="StepConflictError"))
    assert not world.published("research_failed")


async def test_a_broken_copy_of_an_opening_does_not_end_the_request():
    world = World()
    refused = {"knativeerrorcode": "422", "error": "ContractError"}
    await world.tracker.take(history()[0])
    await world.tracker.take(history()[0].having(id="copy", **refused))
    record = Event({"specversion": "1.0", "id": "r", "source": "/inbox", "type": "dev.knative.kafka.event"}, b"{}")
    await world.tracker.take(record.having(partitionkey=str(REQUEST), **refused))
    assert not world.published("research_failed")
    await world.tracker.take(history()[0].having(**refused))
    (failed,) = world.published("research_failed")
    assert "retries" not in failed["reason"]


async def test_a_request_without_any_time_ends_too():
    world = World()
    await world.tracker.take(history()[0].having(time=None, requestid=None))
    world.now += timedelta(minutes=31)
    assert await world.tracker.expire() == 1


async def test_an_event_without_a_request_is_passed_over():
    world = World()
    assert (
        await world.tracker.take(Event({"specversion": "1.0", "id": "1", "source": "/x", "type": "y"}, b"\xff"))
        == "no request"
    )


HOSTILE = [
    {"part": {}, "of": True, "topic": ["x"], "metadata": "x", "reason": 7, "claims": "many"},
    {"part": [1], "of": 1e300, "metadata": {"link": {}, "email": []}, "reason": ["x"]},
    {"part": "1", "of": "2", "metadata": [], "revision": -1, "question": {"a": "b"}},
]


async def test_data_that_breaks_every_contract_stops_neither_the_tracker_nor_the_request():
    world = World()
    await world.tracker.take(history()[0])
    for n, data in enumerate(HOSTILE):
        for kind in WORKFLOW.topics:
            broken = event(kind, data, n, "/agents/x/y", durationms="soon", tokens="1e9", part="all", revision="-")
            assert await world.tracker.take(broken) == "done"
    deep = Event(history()[0].having(id="deep").attributes, b"[" * 100_000)
    assert await world.tracker.take(deep) == "done"
    state = fold(REQUEST, await world.runtime.journal.events(REQUEST), WORKFLOW)
    assert state.topic == "sleep" and state.link is None and state.steps == ()


async def test_a_deadline_beyond_all_others_ends_with_them():
    world = World()
    await world.tracker.take(history()[0].having(deadline="2999-01-01T00:00:00Z"))
    world.now += timedelta(minutes=31)
    assert await world.tracker.expire() == 1


async def test_an_event_of_a_producer_that_knows_none_of_our_attributes_is_tracked():
    world = World()
    opening = history()[0].having(requestid=None)
    assert await world.tracker.take(opening) == "done"
    await world.tracker.take(opening.having(knativeerrorcode="500", failedstep="planner", reason="model down"))
    (failed,) = world.published("research_failed")
    assert failed["metadata"]["email"] == "a@b.c"


async def test_metadata_too_long_to_be_noted_keeps_the_address():
    world = World()
    long = event("research_requests", {"topic": "sleep", "metadata": {"email": "a@b.c", "note": "x" * 5_000}})
    await world.tracker.take(long)
    (noted,) = await world.runtime.journal.events(REQUEST)
    assert notes(noted)["metadata"] == {"email": "a@b.c"}


async def test_data_that_travels_by_reference_is_noted_too():
    world = World()
    whole = history()[4]
    key = f"data/{hashlib.sha256(whole.data).hexdigest()}"
    await world.runtime.store.create(key, whole.data)
    await world.tracker.take(Event(whole.having(dataref=key).attributes))
    (noted,) = await world.runtime.journal.events(REQUEST)
    assert notes(noted)["part"] == 1
    lost = Event(history()[3].having(dataref=f"data/{'0' * 64}").attributes)
    assert await world.tracker.take(lost) == "done"


async def test_a_forged_cost_is_none():
    world = World()
    forged = ("-1 EUR", "1e9 EUR", "nan EUR", "1 EURO", "1", "1.5 eur", "9999999999 EUR", "1 EUR\n2 EUR", "١ EUR")
    for number, cost in enumerate(forged):
        answer = history()[1].having(id=f"e{number}", cost=cost.replace("\n", " "))
        await world.tracker.take(answer)
    state = fold(REQUEST, await world.runtime.journal.events(REQUEST), WORKFLOW)
    assert [(step.cost, step.currency) for step in state.steps] == [(0.0, "")] * len(forged)
    await world.tracker.take(history()[1].having(id="good", cost="0.001234 EUR"))
    state = fold(REQUEST, await world.runtime.journal.events(REQUEST), WORKFLOW)
    assert sum(step.cost for step in state.steps) == 0.001234
