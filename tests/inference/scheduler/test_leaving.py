"""Callers that come and go at every moment: what is bought is bought once, what is held is let go."""

import asyncio
import json
import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from inference.scheduler.__main__ import running
from inference.scheduler.calls import Calls
from inference.scheduler.service import Service
from inference.scheduler.wire import CHAT, read
from inference.testing import FakeServer, Scripted
from tests.inference.scheduler.conftest import KEY, REQUEST, Running, body, pools_of, scheduler, server_of, until

SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def _flies(one: Running, number: int = 0) -> bool:
    state = await one.get("state")
    return bool(state["servers"][0]["in_flight"] == number and state["waiting"] == 0)


async def test_who_asks_again_while_the_first_is_being_given_up_gets_an_answer(server: FakeServer, tmp_path: Path) -> None:
    server.tokens_per_second = 100
    async with scheduler(pools_of(server_of(server, slots=1)), tmp_path) as one:
        before = asyncio.create_task(one.text(body("before")))
        await until(lambda: server.calls)
        first = asyncio.create_task(one.ask(body(), Torpor_Call=KEY))
        await until(lambda: _waits(one))
        first.cancel()
        status, answer = await one.ask(body(), Torpor_Call=KEY)
        assert status == 200, answer
        await before
    assert len(server.calls) == 2


async def _waits(one: Running) -> bool:
    return bool((await one.get("state"))["waiting"] == 1)


async def test_a_generation_that_is_given_up_is_joined_by_nobody(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Calls] = []

    def service(pools: Any, servers: Any, calls: Calls, *more: Any) -> Service:
        made.append(calls)
        return Service(pools, servers, calls, *more)

    monkeypatch.setattr("inference.scheduler.__main__.Service", service)
    ask = read(CHAT, json.dumps(body()).encode(), {"Torpor-Call": KEY}, 100)
    async with running(pools_of(server_of(server)), tmp_path / "journal", (tmp_path / "store").as_uri()):
        first = made[0].begin(ask)
        await asyncio.sleep(0)
        made[0].leave(first)  # before anything was bought
        second = made[0].begin(ask)
        assert second is not first and (await second.whole())["choices"]
        made[0].leave(second)
    assert len(server.calls) == 1


async def test_leaving_coming_back_and_leaving_again_starts_the_time_anew(server: FakeServer, tmp_path: Path) -> None:
    server.tokens_per_second = 5
    async with scheduler(pools_of(server_of(server), limits={"unattended_s": 2.0}), tmp_path) as one:
        for _ in range(3):
            asked = asyncio.create_task(one.text(body(), Torpor_Call=KEY))
            await asyncio.sleep(0.75)
            asked.cancel()
            await asyncio.sleep(0.25)
        assert not server.calls[0].aborted
        await until(lambda: server.calls[0].tokens == 20)
        assert await one.text(body(), Torpor_Call=KEY)
    assert len(server.calls) == 1


async def test_a_joiner_that_can_wait_longer_is_not_refused_with_the_first(server: FakeServer, tmp_path: Path) -> None:
    server.otherwise = Scripted(delay_s=0.5)
    async with scheduler(pools_of(server_of(server, slots=1)), tmp_path) as one:
        before = asyncio.create_task(one.text(body("before")))
        await until(lambda: server.calls)
        hasty = asyncio.create_task(one.ask(body(), Torpor_Call=KEY, Torpor_Wait="0.2"))
        await until(lambda: _waits(one))
        assert (await one.ask(body(), Torpor_Call=KEY, Torpor_Wait="20"))[0] == 200
        await asyncio.gather(before, hasty)
    assert len(server.calls) == 2


async def test_a_late_duplicate_is_answered_though_its_request_was_closed_and_opened_again(
    server: FakeServer, one: Running
) -> None:
    said = await one.text(body(), Torpor_Call=KEY)
    await until(lambda: _closed(one))
    await one.text(body("another call opens the request again"), Torpor_Call=f"{REQUEST}/other#1.0")
    assert await one.text(body(), Torpor_Call=KEY) == said
    assert len(server.calls) == 2


async def _closed(one: Running) -> bool:
    await one.http.delete(f"{one.url}/requests/{REQUEST}")
    return bool((await one.get("state"))["open_requests"] == 0)


async def test_a_probe_whose_caller_goes_leaves_the_next_one_to_try(server: FakeServer, tmp_path: Path) -> None:
    server.otherwise = Scripted(status=500)
    breaker = {"failures": 1, "reset_s": 0.05}
    async with scheduler(pools_of(server_of(server), breaker=breaker, limits={"attempts": 1}), tmp_path) as one:
        await one.ask(body())
        server.otherwise, server.tokens_per_second = Scripted(), 5
        probe = asyncio.create_task(one.text(body("probe")))
        await until(lambda: len(server.calls) == 2)
        waiting = asyncio.create_task(one.text(body("next")))
        await until(lambda: _waits(one))
        server.tokens_per_second = 0
        probe.cancel()
        assert await waiting
        assert (await one.get("state"))["servers"][0]["breaker"] == "closed"


async def test_who_waits_for_the_budget_of_others_waits_no_longer_than_it_can(server: FakeServer, tmp_path: Path) -> None:
    server.tokens_per_second = 20
    async with scheduler(pools_of(server_of(server)), tmp_path) as one:
        await one.http.put(f"{one.url}/requests/{REQUEST}", json={"budget_tokens": 100, "deadline": SOON})
        first = asyncio.create_task(one.ask(body(max_tokens=20), Torpor_Request=REQUEST))
        await until(lambda: server.calls)
        status, answer = await one.ask(body(max_tokens=60), Torpor_Request=REQUEST, Torpor_Wait="0.1")
        assert (status, answer["error"]["code"]) == (503, "not_in_time"), answer
        assert "hold back what is left" in answer["error"]["message"]
        assert not first.done() and (await first)[0] == 200


async def test_whoever_comes_and_goes_when_nothing_stays_behind(server: FakeServer, tmp_path: Path) -> None:
    server.tokens_per_second = 300
    chance = random.Random(7)
    server.script += [Scripted(drop=True), Scripted(status=500), Scripted(status=429), Scripted()] * 20
    limits = {"unattended_s": 0.05, "attempts": 3}
    async with scheduler(pools_of(server_of(server, slots=3), breaker={"reset_s": 0.05}, limits=limits), tmp_path) as one:
        await one.http.put(f"{one.url}/requests/{REQUEST}", json={"budget_tokens": 3000, "deadline": SOON})

        async def call(number: int) -> Any:
            await asyncio.sleep(chance.random() * 0.5)
            named = {"Torpor_Call": f"{REQUEST}/x#{number % 12}"} if number % 3 else {"Torpor_Request": REQUEST}
            ask = one.streamed if number % 2 else one.ask
            async with asyncio.timeout(chance.random() * 0.4):
                return await ask(body(f"prompt {number % 12}"), **named)

        await asyncio.gather(*(call(number) for number in range(120)), return_exceptions=True)
        await until(lambda: _flies(one))
        account = await one.get(f"requests/{REQUEST}")
        assert account["reserved_tokens"] == 0 and account["spent_tokens"] <= 3000 + 60
        keys = {call.key for call in server.calls if call.key}
        assert all(
            [(await one.ask(body(f"prompt {key.rpartition('#')[2]}"), Torpor_Call=key))[0] in (200, 402) for key in keys]
        )
        assert server.most <= 3


async def test_a_scheduler_stops_while_everything_is_under_way(server: FakeServer, tmp_path: Path) -> None:
    server.tokens_per_second = 20
    pools = pools_of(server_of(server, slots=2))
    async with aiohttp.ClientSession() as http:
        async with scheduler(pools, tmp_path) as one:
            caller = Running(one.url, http)
            work = [asyncio.create_task(caller.streamed(body(f"p{n}"), Torpor_Call=f"{KEY}{n}")) for n in range(4)]
            work += [asyncio.create_task(caller.text(body(f"p{n}"))) for n in range(4)]
            await until(lambda: len(server.calls) == 2)
        ends = await asyncio.gather(*work, return_exceptions=True)
    assert all(isinstance(end, Exception) or "error" in end[-1] for end in ends), ends
    server.tokens_per_second = 0
    async with scheduler(pools, tmp_path) as one:
        assert await one.text(body("p0"), Torpor_Call=f"{KEY}0")
