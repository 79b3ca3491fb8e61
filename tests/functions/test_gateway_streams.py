"""A request's stream over real HTTP, with a real scheduler behind it: nothing twice and nothing left out, whoever restarts."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from eventing.envelope import Event
from eventing.runtime import Runtime
from eventing.state import Journal
from eventing.store import Store
from eventing.testing import NOON, memory_bucket
from eventing.workflow import named
from functions import accounts
from functions.accounts import Desk
from functions.gateway import main, streaming
from inference.testing import FakeServer, Scripted
from tests.inference.scheduler.conftest import KEY, REQUEST, Running, body, pools_of, scheduler, server_of, until

URL = f"/research/{REQUEST}/events"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "LOOK_EVERY_S", 0.02)
    monkeypatch.setattr(streaming, "ASK_AGAIN_S", 0.05)


class World:
    """A store, and gateways over it that come and go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store: Store = memory_bucket()
        self.desk, self.environ = Desk(None), dict[str, str]()
        monkeypatch.setattr(main, "_desk", lambda: self.desk)
        self._patch = monkeypatch

    async def happened(self, kind: str, second: int = 0, source: str = "/gateway", **data: Any) -> None:
        attributes = {"specversion": "1.0", "id": f"{kind}-{second}", "source": source, "type": kind, "requestid": REQUEST}
        event = Event({**attributes, "time": (NOON + timedelta(seconds=second)).isoformat()}, json.dumps(data).encode())
        await Journal(self.store).record(REQUEST, event)

    @contextlib.asynccontextmanager
    async def gateway(self) -> AsyncIterator[str]:
        """The base URL of a gateway; at its end every connection is cut."""
        runtime = Runtime(self.environ, clock=lambda: NOON)
        runtime.__dict__.update(store=self.store, journal=Journal(self.store))
        self._patch.setattr(main, "_runtime", lambda: runtime)
        app = Starlette(routes=[Route("/{path:path}", main.function, methods=["GET", "POST"])])
        server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="critical", lifespan="off"))
        task = asyncio.create_task(server.serve())
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
        finally:
            for connection in list(server.server_state.connections):
                connection.transport.abort()
            server.should_exit = server.force_exit = True
            await task


@dataclass
class Browser:
    """An EventSource: it comes back by itself, with the id of the last event that it saw."""

    last: str = ""
    seen: list[str] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    told: list[dict[str, Any]] = field(default_factory=list)
    given: int = 0
    raw: str = ""
    ended: bool = False

    async def look(self, base: str, enough: Any = lambda: False) -> None:
        """Read until there is enough, the request has ended, or the stream is over or cut."""
        headers = {"Last-Event-ID": self.last} if self.last else {}
        async with aiohttp.ClientSession() as http, http.get(base + URL, headers=headers) as answer:
            assert answer.status == 200
            buffer = ""
            with contextlib.suppress(aiohttp.ClientError):
                async for line in answer.content:
                    self.raw += line.decode()
                    buffer += line.decode()
                    if line == b"\n":
                        self._take(dict(one.split(": ", 1) for one in buffer.splitlines() if one[0:1] not in ("", ":")))
                        buffer = ""
                        if self.ended or enough():
                            return

    def _take(self, fields: dict[str, str]) -> None:
        if "data" not in fields:
            return
        self.last, data = fields.get("id", self.last), json.loads(fields["data"])
        if fields["event"] == "tokens":
            before = self.texts.get(data["call"], "")
            assert data["at"] in (len(before), 0)
            self.texts[data["call"]] = before[: data["at"]] + data["text"]
            self.given += len(data["text"])
            self.told.append(data)
        elif fields["event"] == "end":
            self.ended = True
        else:
            self.seen.append(data["id"])

    def heard(self, characters: int) -> Any:
        return lambda: self.given >= characters


@pytest.fixture
def server() -> Iterator[FakeServer]:
    with FakeServer() as fake:
        yield fake


@pytest.fixture
async def one(server: FakeServer, tmp_path: Path) -> AsyncIterator[Running]:
    async with scheduler(pools_of(server_of(server)), tmp_path) as found:
        yield found


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World(monkeypatch)
    await made.happened("research_requests", topic="bats", depth=1)
    return made


def desk_of(one: Running) -> Desk:
    return Desk.of({"TORPOR_MODEL_URL": f"{one.url}/v1"})


async def test_whoever_comes_back_in_mid_sentence_gets_exactly_the_rest(world: World, server: FakeServer, one: Running):
    server.tokens_per_second, world.desk, browser = 80, desk_of(one), Browser()
    asked = asyncio.create_task(one.text(body(max_tokens=60), Torpor_Call=KEY))
    async with world.gateway() as base:
        await browser.look(base, browser.heard(30))
        await world.happened("research_questions", 1, "/agents/planner/plan", part=1)
        await browser.look(base, browser.heard(90))
        whole = await asked
        assert browser.given < len(whole)
        await world.happened("research_complete", 2, "/agents/formatter/format")
        await browser.look(base)
    assert browser.ended and browser.texts == {KEY: whole} and browser.given == len(whole)
    assert browser.seen == ["research_requests-0", "research_questions-1", "research_complete-2"]
    places = {(t["step"], t["agent"], t["part"], t["revision"]) for t in browser.told}
    assert places == {("research", "research_assistant", 1, 0)}
    assert [t["done"] for t in browser.told][-1] is True and len(server.calls) == 1


async def test_another_gateway_goes_on_where_the_one_before_was_cut(world: World, server: FakeServer, one: Running):
    server.tokens_per_second, world.desk, browser = 80, desk_of(one), Browser()
    asked = asyncio.create_task(one.text(body(max_tokens=60), Torpor_Call=KEY))
    async with world.gateway() as base:
        looking = asyncio.create_task(browser.look(base))
        await until(browser.heard(30))
    await looking
    assert not browser.ended
    whole = await asked
    await world.happened("research_complete", 2, "/agents/formatter/format")
    async with world.gateway() as base:
        await browser.look(base)
    assert browser.ended and browser.texts == {KEY: whole} and browser.given == len(whole)
    assert browser.seen == ["research_requests-0", "research_complete-2"]


async def test_a_stream_outlives_the_scheduler(world: World, server: FakeServer, tmp_path: Path):
    server.tokens_per_second, pools, browser = 80, pools_of(server_of(server)), Browser()
    async with contextlib.AsyncExitStack() as stack:
        async with scheduler(pools, tmp_path) as one:
            world.desk = desk_of(one)
            base = await stack.enter_async_context(world.gateway())
            asked = asyncio.create_task(one.text(body(max_tokens=60), Torpor_Call=KEY))
            looking = asyncio.create_task(browser.look(base))
            await until(browser.heard(30))
        await asyncio.gather(asked, return_exceptions=True)
        await world.happened("research_questions", 1, "/agents/planner/plan", part=1)
        await until(lambda: len(browser.seen) == 2)  # progress goes on without
        async with scheduler(pools, tmp_path, port=int(one.url.rpartition(":")[2])) as again:
            whole = await again.text(body(max_tokens=60), Torpor_Call=KEY)
            await until(lambda: browser.given == len(whole))
            await world.happened("research_complete", 2, "/agents/formatter/format")
            await looking
    assert browser.ended and browser.texts == {KEY: whole} and browser.given == len(whole)


async def test_two_watchers_see_the_same(world: World, server: FakeServer, one: Running):
    server.tokens_per_second, world.desk, first, second = 80, desk_of(one), Browser(), Browser()
    calls = [
        asyncio.create_task(one.text(body(f"Why {n}?", max_tokens=40), Torpor_Call=f"{REQUEST}/research/{n}.0#1.0"))
        for n in (1, 2)
    ]
    async with world.gateway() as base:
        looking = [asyncio.create_task(first.look(base))]
        await until(first.heard(30))
        looking.append(asyncio.create_task(second.look(base)))
        whole = await asyncio.gather(*calls)
        await world.happened("research_complete", 2, "/agents/formatter/format")
        await asyncio.gather(*looking)
    assert first.texts == second.texts and sorted(first.texts.values()) == sorted(whole)
    assert first.given == second.given == sum(map(len, whole)) and first.seen == second.seen


async def test_what_is_begun_anew_is_told_from_its_beginning(world: World, server: FakeServer, tmp_path: Path):
    server.tokens_per_second, browser = 80, Browser()
    server.script.append(Scripted(text="a beginning that comes to nothing in the end", drop=True))
    async with scheduler(pools_of(server_of(server, kind="openai")), tmp_path) as one:
        world.desk = desk_of(one)
        asked = asyncio.create_task(one.text(body(max_tokens=30), Torpor_Call=KEY))
        async with world.gateway() as base:
            await browser.look(base, browser.heard(6))
            whole = await asked
            await world.happened("research_complete", 2, "/agents/formatter/format")
            await browser.look(base)
    assert browser.texts == {KEY: whole} and [t["at"] for t in browser.told].count(0) >= 2


async def test_a_stream_ends_before_the_time_limit_cuts_it_and_is_taken_up_again(
    world: World, server: FakeServer, one: Running
):
    server.tokens_per_second, world.desk, browser = 80, desk_of(one), Browser()
    world.environ["TORPOR_TIME_LIMIT_S"] = "0.3"
    asked = asyncio.create_task(one.text(body(max_tokens=60), Torpor_Call=KEY))
    async with world.gateway() as base:
        await browser.look(base)
        assert not browser.ended and browser.raw.endswith("retry: 1000\n\n") and "\n: there is more" in browser.raw
        whole = await asked
        await world.happened("research_complete", 2, "/agents/formatter/format")
        await browser.look(base)
    assert browser.ended and browser.texts == {KEY: whole} and browser.given == len(whole)
    assert [streaming.lasts(limit) < limit for limit in (0.5, 60, 600)] == [True] * 3


async def test_whatever_a_model_says_stays_within_its_json(world: World, server: FakeServer, one: Running):
    hostile = "\r\n\r\nevent: end\ndata: {}\n\nid: x\n\x1b[2J\u2028\u202e\x00 é 漢"
    server.otherwise, world.desk, browser = Scripted(text=hostile), desk_of(one), Browser()
    said = await one.text(body(), Torpor_Call=KEY)
    await world.happened("research_complete", 2, "/agents/formatter/format")
    async with world.gateway() as base:
        await browser.look(base)
    assert browser.texts == {KEY: said} and browser.raw.count("\nevent: end") == 1
    assert browser.raw.isascii() and not {"\x1b", "\r", "\x00"} & set(browser.raw)


@pytest.mark.parametrize("last", ["x", "~", "é~1", "AAAAAA~1", "AAAAA~", "0" * 50_000, "{tag}~1..2", "{tag}~99999999999"])
async def test_a_last_event_id_that_is_none_of_ours_begins_from_the_beginning(world: World, last: str):
    await world.happened("research_complete", 2, "/agents/formatter/format")
    browser = Browser(last=last.replace("{tag}", str(streaming.Position(str(REQUEST), None))[:6]))
    async with world.gateway() as base:
        await browser.look(base)
    assert browser.seen == ["research_requests-0", "research_complete-2"]


async def test_a_late_event_that_stands_before_others_by_its_time_is_not_left_out(world: World):
    browser = Browser()
    await world.happened("summary_ready", 5, "/agents/research_assistant/research", part=1)
    async with world.gateway() as base:
        await browser.look(base, lambda: len(browser.seen) == 2)
        await world.happened("research_questions", 1, "/agents/planner/plan", part=1)
        await world.happened("research_complete", 9, "/agents/formatter/format")
        await browser.look(base)
    assert browser.seen == ["research_requests-0", "summary_ready-5", "research_questions-1", "research_complete-9"]


async def test_progress_goes_on_while_the_scheduler_hangs(world: World, monkeypatch: pytest.MonkeyPatch):
    class Hanging:
        asked = 0

        async def said(self, *_: object) -> dict[str, Any]:
            self.asked += 1
            await asyncio.sleep(3600)
            return {}

    monkeypatch.setattr(accounts, "PATIENCE_S", 0.02)
    hanging, browser = Hanging(), Browser()
    world.desk = Desk(hanging)
    async with world.gateway() as base:
        await browser.look(base, lambda: len(browser.seen) == 1)
        await world.happened("research_complete", 2, "/agents/formatter/format")
        await browser.look(base)
    assert browser.ended and browser.seen == ["research_requests-0", "research_complete-2"] and hanging.asked


async def test_an_id_that_no_header_could_bring_back_is_not_given(world: World, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(streaming, "LONGEST_ID", 20)
    for second in range(1, 5):
        await world.happened("step_failed", second, "/agents/planner/plan")
    await world.happened("research_complete", 9, "/agents/formatter/format")
    first = Browser()
    async with world.gateway() as base:
        await first.look(base)
        assert first.raw.count("\nid: ") == 2 and len(first.seen) == 6
        again = Browser(last=first.last)
        await again.look(base)
    assert again.seen == first.seen[2:]


async def test_an_agent_that_dies_and_asks_again_says_nothing_twice(world: World, server: FakeServer, one: Running):
    server.tokens_per_second, world.desk, browser = 80, desk_of(one), Browser()
    asked = asyncio.create_task(one.text(body(max_tokens=60), Torpor_Call=KEY))
    async with world.gateway() as base:
        looking = asyncio.create_task(browser.look(base))
        await until(browser.heard(30))
        asked.cancel()
        whole = await one.text(body(max_tokens=60), Torpor_Call=KEY)
        await world.happened("research_complete", 2, "/agents/formatter/format")
        await looking
    assert browser.ended and browser.texts == {KEY: whole} and browser.given == len(whole) and len(server.calls) == 1


@pytest.mark.parametrize("suffix", ["", "~0123456789ab"])
def test_a_piece_says_whose_call_it_is_of_a_step_that_was_sent_on_too(suffix: str) -> None:
    piece = {"call": f"{REQUEST}~1/research/2.1#1.0{suffix}", "at": 0, "text": "x", "done": False}
    told = streaming.told(piece, named("research"))
    assert (told["step"], told["agent"], told["part"], told["revision"]) == ("research", "research_assistant", 2, 1)
