"""Who is woken ahead of an event: never one that might not be needed, and never at a step's cost."""

import asyncio
from collections.abc import Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from eventing import Context, agent, manifests, workflow
from eventing.adapter import Adapter
from eventing.errors import ConfigurationError
from eventing.runtime import Runtime
from eventing.step import Steps
from eventing.testing import NOON, Broker, memory_bucket
from eventing.waking import Waker, surely_after, surely_next
from eventing.workflow import Step, Workflow
from inference.testing import FakeModel
from schemas import ResearchQuery, ResearchQuestion
from tests.eventing.test_adapter import question, request

RESEARCH = workflow.named("research")
PREWAKING = RESEARCH.model_copy(update={"prewake": True})
STEPS = {step.name: step for step in RESEARCH.steps}
SLOWEST_S = 5.0


class Services:
    """What stands for every agent's Service: it notes who is asked for, and answers as it is told."""

    def __init__(self, answer: bytes | None) -> None:
        self.answer, self.asked, self.held = answer, list[str](), asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0].decode()
        self.asked.append(line)
        if self.answer is None:
            await self.held.wait()
        else:
            writer.write(self.answer)
        writer.close()


@asynccontextmanager
async def services(answer: bytes | None = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
    found = Services(answer)
    listening = await asyncio.start_server(found.serve, "127.0.0.1", 0)
    yield found, f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/functions/{{name}}"
    found.held.set()
    listening.close()


class World:
    """A planner over a bucket in memory and a broker that keeps."""

    def __init__(self, url: str, of: Workflow = PREWAKING) -> None:
        class Models:
            def for_step(self, **_: object) -> FakeModel:
                return FakeModel()

        @agent("planner")
        async def handle(query: ResearchQuery, ctx: Context) -> list[ResearchQuestion]:
            await self.working.wait()
            return [question(query, n + 1) for n in range(query.depth)]

        self.working, self.broker = asyncio.Event(), Broker()
        self.working.set()
        self.runtime = Runtime({"TORPOR_TIME_LIMIT_S": "60", "TORPOR_FUNCTIONS": url}, clock=lambda: NOON)
        store = memory_bucket()
        self.steps = Steps(store, self.broker.publish, frozenset(of.ends))
        self.runtime.__dict__.update(store=store, steps=self.steps, workflow=of)
        self.adapter = Adapter(handle, self.runtime, Models())


async def until(ready) -> None:
    async with asyncio.timeout(SLOWEST_S):
        while not ready():
            await asyncio.sleep(0.01)


def runs(step: Step, left: int = 3) -> Iterator[frozenset[str]]:
    """The agents of every way on which a request can go on from a step."""
    if not step.answers:
        yield frozenset()
    for event in step.answers:
        for taker in RESEARCH.takers(event):
            if taker.revisions is None or left:
                for rest in runs(taker, left - (taker.revisions is not None)):
                    yield rest | {taker.agent}


@pytest.mark.parametrize("step", RESEARCH.steps, ids=lambda step: step.name)
def test_who_is_woken_is_needed_on_every_way_on_which_the_request_can_go(step: Step):
    assert surely_next(RESEARCH, step) <= frozenset.intersection(*runs(step))


@pytest.mark.parametrize(
    ("step", "woken"),
    [
        ("plan", {"research_assistant"}),
        ("research", {"aggregator", "formatter", "notifier"}),  # not the validator: a part may be abandoned
        ("validate", {"aggregator", "formatter", "notifier"}),  # not the research assistant: the part may pass
        ("aggregate", {"formatter", "notifier"}),
        ("format", {"notifier"}),
        ("notify", set()),
    ],
)
def test_who_is_needed_whatever_a_step_answers(step: str, woken: set[str]):
    assert surely_next(RESEARCH, STEPS[step]) == woken


async def test_the_next_agent_is_awake_while_the_one_before_it_works():
    async with services() as (found, url):
        world = World(url)
        world.working.clear()
        taking = asyncio.ensure_future(world.adapter.take(request()))
        await until(lambda: found.asked)
        assert not world.broker.events
        world.working.set()
        assert await taking == "done"
        assert found.asked == ["GET /functions/research-assistant/health/readiness HTTP/1.1"]


async def test_without_the_setting_nobody_is_woken():
    async with services() as (found, url):
        assert await World(url, RESEARCH).adapter.take(request()) == "done"
        await asyncio.sleep(0)
        assert found.asked == []


async def test_a_step_that_is_done_or_whose_request_has_ended_wakes_nobody():
    async with services() as (found, url):
        world = World(url)
        await world.adapter.take(request())
        await until(lambda: found.asked)
        world.runtime.__dict__["waker"] = Waker(PREWAKING, url)  # that of another process, which touched nobody yet
        assert await world.adapter.take(request()) == "duplicate"
        ended = World(url)
        late = request(request_id="11111111-1111-4111-8111-111111111111").having(deadline="2000-01-01T00:00:00+00:00")
        assert await ended.adapter.take(late) == "over"
        assert not world.runtime.waker._touching and not ended.runtime.waker._touching
        assert len(found.asked) == 1


@pytest.mark.parametrize(
    "answer", [None, b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", b"nonsense\r\n\r\n"]
)
async def test_a_touch_that_hangs_or_fails_disturbs_no_step(answer: bytes | None):
    async with services(answer) as (found, url):
        world = World(url)
        async with asyncio.timeout(SLOWEST_S):
            assert await world.adapter.take(request()) == "done"
        assert len(world.broker.events) == 2
        await until(lambda: found.asked)


async def test_a_touch_of_nobody_disturbs_no_step():
    world = World("http://127.0.0.1:1/{name}")
    assert await world.adapter.take(request()) == "done"
    await until(lambda: not world.runtime.waker._touching)


async def test_one_touch_does_for_the_parts_that_are_at_work_side_by_side():
    async with services() as (found, url):
        now = 0.0
        waker = Waker(PREWAKING, url, clock=lambda: now)
        for _ in range(5):
            waker.begun(STEPS["validate"])
        await until(lambda: found.asked and not waker._touching)
        assert len(found.asked) == len(set(found.asked)) == 3
        now = 60.0
        waker.coming("validation_passed")
        await until(lambda: len(found.asked) == 6)


@pytest.mark.parametrize(
    ("event", "woken"),
    [
        ("research_requests", {"planner"}),  # who comes after it has its time to wake
        ("research_questions", {"research_assistant"}),
        ("summary_ready", {"validator"}),
        ("validation_passed", {"aggregator", "formatter", "notifier"}),  # joining and formatting are brief
        ("workflow_state", set()),
    ],
)
def test_who_is_needed_once_an_event_is_there(event: str, woken: set[str]):
    assert surely_after(RESEARCH, event) == woken


def test_a_loop_of_brief_steps_is_looked_past_once():
    steps = tuple(step.model_copy(update={"brief": True}) for step in RESEARCH.steps)
    found = surely_next(RESEARCH.model_copy(update={"steps": steps}), steps[0])
    assert found == {"research_assistant", "aggregator", "formatter", "notifier"}  # not the validator


@pytest.mark.parametrize("url", ["http://agents.example.com", "{name}.torpor.svc"])
def test_where_agents_are_must_be_a_url_with_a_place_for_the_name(url: str):
    with pytest.raises(ConfigurationError, match=r"TORPOR_FUNCTIONS must be a URL with \{name\} in it"):
        Waker(PREWAKING, url)


def test_functions_reach_each_other_on_a_cluster_only_where_they_wake_each_other():
    folders = sorted(file.parent for file in (Path(__file__).parents[2] / "functions").glob("*/func.yaml"))
    for of, there in ((RESEARCH, False), (PREWAKING, True)):
        assert ("name: functions-wake" in manifests.files(of, functions=folders)["policies.yaml"]) is there
