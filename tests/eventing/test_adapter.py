"""What an agent's adapter must do with an event: validate it, do its step once, publish what is stored."""

import asyncio
import hashlib
import json
import sys
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from eventing import Context, agent, telemetry
from eventing.adapter import Adapter
from eventing.envelope import Event
from eventing.errors import AgentError, ContractError, PublishError, StepConflictError, WrongAnswerError
from eventing.publishing import resolved
from eventing.runtime import Runtime
from eventing.state import step_of
from eventing.step import Steps
from eventing.testing import NOON, REQUEST, Broker, memory_bucket
from functions.tracker.tracking import Tracker
from inference.client import Usage
from inference.errors import ModelUnavailableError
from inference.testing import FakeModel
from schemas import (
    PartAbandoned,
    ResearchComplete,
    ResearchFailed,
    ResearchQuery,
    ResearchQuestion,
    ResearchResult,
    SummaryReady,
    ValidationPassed,
)


class Models:
    def for_step(self, **_: object) -> FakeModel:
        return FakeModel()


class World:
    """A runtime over a bucket in memory and a broker that keeps."""

    def __init__(self) -> None:
        self.broker, self.now = Broker(), NOON
        self.runtime = Runtime({"TORPOR_TIME_LIMIT_S": "0.5"}, clock=lambda: self.now)
        store = memory_bucket()
        steps = Steps(store, self.broker.publish, frozenset(self.runtime.workflow.ends))
        self.runtime.__dict__.update(store=store, steps=steps)
        self.calls = 0

    def adapter(self, handler) -> Adapter:
        return Adapter(handler, self.runtime, Models())

    def planner(self, answer=None) -> Adapter:
        @agent("planner")
        async def handle(query: ResearchQuery, ctx: Context) -> list[ResearchQuestion]:
            self.calls += 1
            return answer(query) if answer else [question(query, n + 1) for n in range(query.depth)]

        return self.adapter(handle)


def question(query: ResearchQuery, part: int) -> ResearchQuestion:
    return ResearchQuestion(
        request_id=query.request_id, topic=query.topic, part=part, of=query.depth, question=f"What is {part}?"
    )


def request(depth=2, **changes) -> Event:
    data = {"request_id": str(REQUEST), "topic": "sleep", "depth": depth} | changes
    attributes = {"specversion": "1.0", "id": "e1", "source": "/test", "type": "research_requests", "time": NOON.isoformat()}
    return Event(attributes, json.dumps(data).encode())


async def test_answers_carry_what_the_next_step_needs():
    world = World()
    assert await world.planner().take(request(), coldstart=True) == "done"
    first, second = world.broker.events
    assert first.type == "research_questions"
    assert (first.get("part"), second.get("part")) == ("1", "2")
    assert first.get("requestid") == first.get("partitionkey") == str(REQUEST)
    assert first.get("deadline") == (NOON + timedelta(minutes=30)).isoformat()
    assert first.get("budgettokens") == second.get("budgettokens") == "60000"  # the ledger counts, not the event
    assert first.get("cause") == "e1"
    assert first.get("coldstart") == "true" and "coldstart" not in second.attributes
    assert first.get("dataschema") == "/schemas/research_questions/v1"


@pytest.mark.parametrize(
    ("cost", "currency", "said"),
    [(0.001234, "EUR", "0.001234 EUR"), (0.1 + 0.2, "USD", "0.3 USD"), (1e-8, "EUR", "0.00000001 EUR"), (0.0, "EUR", "")],
)
async def test_what_the_model_calls_cost_is_said_once_as_the_scheduler_said_it(cost, currency, said):
    world, counted = World(), telemetry.COST.value("planner", "fake-model", currency)
    planner = world.planner()

    class Dear:
        def for_step(self, **_: object) -> FakeModel:
            model = FakeModel()
            model.usage = Usage(prompt_tokens=5, completion_tokens=2, calls=1, cost=cost, currency=currency)
            return model

    await replace(planner, models=Dear()).take(request())
    first, second = world.broker.events
    assert first.get("cost") == said and "cost" not in second.attributes
    assert telemetry.COST.value("planner", "fake-model", currency) - counted == pytest.approx(cost)
    step = step_of(first)
    assert (step.cost, step.currency) == ((pytest.approx(cost), currency) if said else (0.0, ""))


async def test_calls_that_the_budget_had_no_room_for_are_told_by_the_answer_and_counted_in_the_state():
    world = World()

    @agent("planner")
    async def handle(query: ResearchQuery, ctx: Context) -> list[ResearchQuestion]:
        ctx.llm.usage.refused = 2
        return [question(query, 1), question(query, 2)]

    await world.adapter(handle).take(request())
    first, second = world.broker.events
    assert first.get("refusedcalls") == "2" and "refusedcalls" not in second.attributes
    step = step_of(first)
    assert step is not None and step.refused_calls == 2


async def test_a_duplicate_is_answered_once_with_one_run():
    world = World()
    planner = world.planner()
    assert [await planner.take(request()) for _ in range(3)] == ["done", "duplicate", "duplicate"]
    assert world.calls == 1 and len(world.broker.events) == 2


async def test_a_crash_between_store_and_publish_publishes_what_is_stored():
    world = World()
    world.broker.fail = 1
    with pytest.raises(OSError):
        await world.planner().take(request())
    world.now += timedelta(seconds=80)
    assert await world.planner().take(request()) == "adopted"
    assert world.calls == 1
    assert {e.get("time") for e in world.broker.events} == {NOON.isoformat()}


async def test_two_workers_at_once_publish_the_same_answers():
    world = World()

    def slow() -> Adapter:
        @agent("planner")
        async def handle(query: ResearchQuery, ctx: Context) -> list[ResearchQuestion]:
            await asyncio.sleep(0.01)
            world.calls += 1
            return [question(query, 1).model_copy(update={"question": f"Run {world.calls}?"})]

        return world.adapter(handle)

    await asyncio.gather(*(slow().take(request(depth=1)) for _ in range(5)))
    assert len({(e.id, e.data) for e in world.broker.events}) == 1


async def test_the_same_request_id_with_another_topic_is_refused():
    world = World()
    await world.planner().take(request())
    with pytest.raises(StepConflictError, match="another input"):
        await world.planner().take(request(topic="waking"))
    assert len(world.broker.events) == 2


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"depth": 0}, "depth: Input should be greater than or equal to 1 (got 0)"),
        ({"depth": 9}, "depth: Input should be less than or equal to 5 (got 9)"),
        ({"depth": "two"}, "depth: Input should be a valid integer (got 'two')"),
        ({"topic": ""}, "topic: String should have at least 1 character (got '')"),
        ({"request_id": "test-123"}, "request_id: Input should be a valid UUID"),
    ],
)
async def test_a_broken_contract_names_field_rule_and_value(changes, told):
    world = World()
    with pytest.raises(ContractError) as caught:
        await world.planner().take(request(**changes))
    assert told in str(caught.value)
    assert caught.value.status == 422 and not world.broker.events


async def test_an_event_that_contradicts_itself_is_refused():
    with pytest.raises(ContractError, match="requestid: must equal"):
        await World().planner().take(request().having(requestid=str(UUID(int=7))))


async def test_an_event_for_another_agent_is_refused():
    with pytest.raises(ContractError, match="planner takes research_requests"):
        await World().planner().take(request().having(type="research_results"))


async def test_an_agent_that_takes_too_long_or_raises_is_told_with_its_place():
    world = World()

    def sleeps() -> Adapter:
        @agent("planner")
        async def handle(query: ResearchQuery, ctx: Context) -> None:
            await asyncio.sleep(5)

        return world.adapter(handle)

    def raises(query):
        raise ValueError("no luck")

    with pytest.raises(AgentError, match=r"planner did not finish step plan within 0.5 s"):
        await sleeps().take(request())
    with pytest.raises(AgentError, match=r"ValueError: no luck \(.*test_adapter.py:\d+\)"):
        await world.planner(raises).take(request())

    def ends(query):
        sys.exit(3)

    with pytest.raises(AgentError, match=r"planner raised SystemExit: 3 \(.*test_adapter.py:\d+\)"):
        await world.planner(ends).take(request())
    with pytest.raises(WrongAnswerError, match=r"planner answered for another request, 0+-0000-4000-8000-0+9 \("):
        await world.planner(lambda query: question(query, 1).model_copy(update={"request_id": UUID(int=9, version=4)})).take(
            request()
        )
    with pytest.raises(WrongAnswerError, match=r"planner answered what cannot be written as JSON: .*surrogates not allowed"):
        await world.planner(lambda query: question(query, 1).model_copy(update={"topic": "half of a pair: \ud83d"})).take(
            request()
        )
    with pytest.raises(
        WrongAnswerError,
        match=r"a ResearchQuery .*plan may answer ResearchQuestions?\(\.\.\.\), which is research_questions",
    ):
        await world.planner(lambda query: query).take(request())


async def test_a_forgotten_await_is_told_with_its_mend():
    world = World()

    async def says() -> str:
        return "otters"

    with pytest.raises(WrongAnswerError, match=r"planner answered what a call without `await` gives \("):
        await world.planner(lambda query: says()).take(request())
    with pytest.raises(
        AgentError, match=r"ResearchQuery: topic is what a call without `await` gives: write it before \(.*:\d+\)"
    ):
        await world.planner(lambda query: ResearchQuery(request_id=query.request_id, topic=says())).take(request())
    with pytest.raises(
        AgentError, match=r"raised ValidationError of ResearchQuery: topic: Field required \(got absent\) \(.*:\d+\)"
    ):
        await world.planner(lambda query: ResearchQuery(request_id=query.request_id, depth=1)).take(request())


async def test_an_overdue_or_ended_request_buys_nothing_more():
    world = World()
    world.now += timedelta(minutes=31)
    assert await world.planner().take(request()) == "over"
    assert world.calls == 0 and not world.broker.events


def part_event(number: int, of: int, kind=ValidationPassed, **more) -> Event:
    data = kind(request_id=REQUEST, topic="sleep", part=number, of=of, revision=0, question="Why?", **more)
    attributes = {"specversion": "1.0", "id": f"p{number}", "source": "/t", "type": kind.event, "time": NOON.isoformat()}
    return Event({**attributes, "part": str(number)}, data.model_dump_json().encode())


def aggregator(world: World) -> Adapter:
    @agent("aggregator")
    async def handle(parts: list[ValidationPassed | PartAbandoned], ctx: Context) -> ResearchResult:
        world.calls += 1
        return ResearchResult(request_id=REQUEST, topic="sleep", parts=tuple(parts))

    return world.adapter(handle)


async def test_a_join_waits_for_every_part_and_joins_once():
    world = World()
    join = aggregator(world)
    assert await join.take(part_event(2, 3)) == "waiting"
    assert await join.take(part_event(2, 3)) == "waiting"
    assert await join.take(part_event(1, 3)) == "waiting"
    assert await join.take(part_event(3, 3, PartAbandoned, reason="nothing found")) == "done"
    assert await join.take(part_event(1, 3)) == "duplicate"
    (result,) = world.broker.events
    assert [p["part"] for p in json.loads(result.data)["parts"]] == [1, 2, 3]
    assert world.calls == 1


async def test_a_join_is_told_every_step_that_led_to_it_and_what_it_cost():
    world, told = World(), []

    @agent("aggregator")
    async def handle(parts: list[ValidationPassed | PartAbandoned], ctx: Context) -> ResearchResult:
        told.extend(await ctx.steps())
        return ResearchResult(request_id=REQUEST, topic="sleep", parts=tuple(parts), steps=tuple(told))

    await world.planner().take(request(depth=2), coldstart=True)
    join = world.adapter(handle)
    for part in (1, 2):
        await join.take(part_event(part, 2))
    assert [(step.step, step.agent, step.coldstart, step.tokens) for step in told] == [("plan", "planner", True, 0)]
    assert json.loads(world.broker.events[-1].data)["steps"][0]["step"] == "plan"


async def test_parts_that_arrive_at_once_join_to_one_result():
    world = World()
    await asyncio.gather(*(aggregator(world).take(part_event(n, 5)) for n in range(1, 6)))
    assert len({(e.id, e.data) for e in world.broker.events}) == 1


async def test_a_part_with_another_content_is_refused():
    world = World()
    await aggregator(world).take(part_event(1, 2))
    with pytest.raises(StepConflictError):
        await aggregator(world).take(part_event(1, 2, PartAbandoned, reason="changed its mind"))


async def test_a_request_ends_once():
    world = World()
    failed = Event({"specversion": "1.0", "id": "f", "source": "/tracker", "type": "research_failed"}, b"{}")
    assert await world.runtime.steps.end(REQUEST, failed)

    @agent("formatter")
    async def handle(result: ResearchResult, ctx: Context) -> ResearchComplete | None:
        raise AssertionError("must not run")

    data = ResearchResult(request_id=REQUEST, topic="t", parts=(part(1),))
    event = Event({**request().attributes, "type": "research_results"}, data.model_dump_json().encode())
    assert await world.adapter(handle).take(event) == "over"

    @agent("notifier")
    async def notify(end: ResearchComplete | ResearchFailed, ctx: Context) -> None:
        world.calls += 1

    end = ResearchFailed(request_id=REQUEST, reason="deadline passed")
    event = Event({**request().attributes, "type": "research_failed"}, end.model_dump_json().encode())
    assert await world.adapter(notify).take(event) == "done"
    assert world.calls == 1


def part(number: int) -> ValidationPassed:
    return ValidationPassed(request_id=REQUEST, topic="t", part=number, of=1, revision=0, question="Why?")


async def test_large_answers_travel_by_reference():
    world = World()
    key = "data/" + hashlib.sha256(request().data or b"").hexdigest()
    big = Event({**request().attributes, "dataref": key})
    await world.runtime.store.create(key, request().data or b"")
    assert (await resolved(big, world.runtime.store)).data == request().data
    assert await world.planner().take(big) == "done"
    assert SummaryReady.event == "summary_ready"


@pytest.mark.parametrize(
    ("reference", "kind"),
    [
        ("../../etc/passwd", ContractError),
        ("data/../requests/x/request.json", ContractError),
        ("requests/x/request.json", ContractError),
        ("data/" + "1" * 64, ContractError),  # what lies there is something else
        ("data/" + "0" * 64, PublishError),  # it may come yet
    ],
)
async def test_a_reference_reaches_the_data_of_events_only(reference, kind):
    world = World()
    await world.runtime.store.create("data/" + "1" * 64, request().data or b"")
    with pytest.raises(kind):
        await world.planner().take(Event({**request().attributes, "dataref": reference}))


@pytest.mark.parametrize(
    "forged",
    [{"deadline": "2999-01-01T00:00:00Z"}, {"time": "9999-12-31T23:59:59Z"}, {"time": "2027-01-01T00:00:00+00:00"}],
)
async def test_a_forged_deadline_or_budget_gives_a_request_no_more_than_any_other_has(forged):
    world = World()
    await world.planner().take(request().having(budgettokens="9" * 30, **forged))
    (first, _) = world.broker.events
    assert first.moment("deadline") == NOON + timedelta(minutes=30)
    assert int(first.get("budgettokens")) <= 60_000


async def test_what_keeps_a_request_from_its_end_is_told_when_its_deadline_ends_it():
    world = World()

    def unavailable(_):
        raise ModelUnavailableError("no model server at http://127.0.0.1:9/v1: cannot connect")

    world.runtime.__dict__["publisher"] = world.broker
    tracker = Tracker(world.runtime)
    await tracker.take(request())
    with pytest.raises(ModelUnavailableError):
        await world.planner(unavailable).take(request())
    world.now += timedelta(minutes=31)
    assert await tracker.expire() == 1
    reasons = [json.loads(event.data)["reason"] for event in world.broker.events if event.type == "research_failed"]
    assert reasons == [
        "the deadline 2026-01-01 12:30:00 UTC has passed; the last failure was in planner/plan: "
        "no model server at http://127.0.0.1:9/v1: cannot connect"
    ]


def test_a_setting_that_is_empty_is_none() -> None:
    runtime = Runtime({"TORPOR_SETTING_SOURCES": "", "TORPOR_SETTING_WEB": "arxiv"})
    assert runtime.settings == {"web": "arxiv"}
