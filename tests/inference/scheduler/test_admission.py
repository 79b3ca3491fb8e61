"""Who goes first, who waits, who is refused: nobody beyond the servers' slots, nobody forgotten."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest

from inference.scheduler import routing
from inference.scheduler.config import Limits
from inference.scheduler.queueing import Queue
from inference.scheduler.wire import Ask
from inference.testing import FakeServer, Scripted
from tests.inference.scheduler.conftest import Running, body, pools_of, scheduler, server_of, until


def _ask(tenant: str, tokens: int = 10) -> Ask:
    return Ask("chat/completions", {}, tenant=tenant, prompt_tokens=tokens)


def _order(queue: Queue) -> list[str]:
    order = []
    while (call := queue.next()) is not None:
        queue.take(call, granted=True)
        order.append(call.ask.tenant)
    return order


async def test_tenants_take_turns_whatever_they_have_waiting() -> None:
    queue = Queue()
    for _ in range(6):
        queue.put(_ask("many"), 100.0)
    for _ in range(2):
        queue.put(_ask("few"), 200.0)
    assert _order(queue) == ["many", "few", "many", "few", "many", "many", "many", "many"]


async def test_a_turn_is_as_long_as_its_tokens() -> None:
    queue = Queue()
    for _ in range(4):
        queue.put(_ask("short", 10), 100.0)
        queue.put(_ask("long", 30), 100.0)
    assert _order(queue)[:6] == ["short", "long", "short", "short", "long", "short"]


async def test_of_one_tenant_the_earliest_deadline_goes_first_and_who_went_away_is_passed_over() -> None:
    queue = Queue()
    calls = {until: queue.put(_ask("one"), until) for until in (30.0, 10.0, 20.0)}
    calls[10.0].place.cancel()
    order = []
    while (call := queue.next()) is not None:
        queue.take(call, granted=True)
        order.append(call.until)
    assert order == [20.0, 30.0]


async def test_a_tenant_that_idled_has_saved_nothing_up() -> None:
    queue = Queue()
    for _ in range(3):
        queue.put(_ask("busy"), 100.0)
    first = queue.next()
    assert first
    queue.take(first, granted=True)
    for _ in range(3):
        queue.put(_ask("late"), 100.0)
    assert _order(queue) in (["late", "busy", "late", "busy", "late"], ["busy", "late", "busy", "late", "late"])


async def test_servers_get_no_more_than_their_slots_and_none_is_idle_while_calls_wait(tmp_path: Path) -> None:
    with FakeServer(tokens_per_second=400) as first, FakeServer(tokens_per_second=400) as second:
        pools = pools_of(server_of(first, "first", slots=2), server_of(second, "second", slots=3))
        async with scheduler(pools, tmp_path) as one:
            work = [asyncio.create_task(one.text(body(f"prompt {n}"))) for n in range(80)]
            await until(lambda: first.running == 2 and second.running == 3)
            assert all(await asyncio.gather(*work))
        assert (first.most, second.most) == (2, 3)
        assert len(first.calls) + len(second.calls) == 80
        assert min(len(first.calls), len(second.calls)) > 20


async def test_a_thousand_wait_in_flat_memory_and_all_are_answered(server: FakeServer, tmp_path: Path) -> None:
    server.otherwise = Scripted(text="yes", delay_s=0.2)
    async with scheduler(pools_of(server_of(server, slots=64)), tmp_path) as one:
        await asyncio.gather(*(one.text(body(f"warm {n}")) for n in range(100)))
        before = psutil.Process().memory_info().rss
        work = [asyncio.create_task(one.text(body(f"prompt {n}"), Torpor_Tenant=f"t{n % 7}")) for n in range(1000)]
        await until(lambda: _waiting(one, 900))
        grown = psutil.Process().memory_info().rss - before
        assert set(await asyncio.gather(*work)) == {"yes"}
    assert grown < 100 * 2**20  # both ends of a thousand connections, and the fake's threads
    assert server.most <= 64


async def _waiting(one: Running, least: int) -> bool:
    return bool((await one.get("state"))["waiting"] >= least)


async def test_a_call_that_cannot_be_in_time_is_refused_before_it_is_bought(server: FakeServer, tmp_path: Path) -> None:
    server.otherwise = Scripted(delay_s=3.0)
    async with scheduler(pools_of(server_of(server, slots=1)), tmp_path) as one:
        running = asyncio.create_task(one.text(body("first")))
        await until(lambda: server.calls)
        begun = time.monotonic()
        status, answer = await one.ask(body("second"), Torpor_Wait="0.2")
        assert (status, answer["error"]["code"]) == (503, "not_in_time")
        assert "nothing was bought" in answer["error"]["message"] and time.monotonic() - begun < 3
        past = (datetime.now(UTC) - timedelta(seconds=1)).isoformat()
        assert (await one.ask(body("third"), Torpor_Deadline=past))[0] == 503
        await running
    assert [call.prompt for call in server.calls] == ["first"]


async def test_a_server_known_to_be_too_slow_is_not_asked(server: FakeServer, tmp_path: Path) -> None:
    server.tokens_per_second = 50
    async with scheduler(pools_of(server_of(server)), tmp_path) as one:
        await asyncio.gather(*(one.text(body(f"prompt {n}")) for n in range(6)))
        status, answer = await one.ask(body("long", max_tokens=500), Torpor_Wait="1.5")  # takes 10 s
        assert (status, answer["error"]["code"]) == (503, "not_in_time")
    assert len(server.calls) == 6


async def test_a_queue_that_is_full_says_so(server: FakeServer, tmp_path: Path) -> None:
    server.otherwise = Scripted(delay_s=0.5)
    limits = Limits(waiting=3).model_dump()
    async with scheduler(pools_of(server_of(server, slots=1), limits=limits), tmp_path) as one:
        work = [asyncio.create_task(one.ask(body(f"prompt {n}"))) for n in range(8)]
        found = [status for status, _ in await asyncio.gather(*work)]
        assert found.count(503) >= 4 and found.count(200) >= 3


async def test_a_server_that_queues_itself_gets_nothing_more(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inference.scheduler.servers.LOOK_EVERY_S", 0.05)
    server.otherwise = Scripted(delay_s=0.5)
    server.slots._value = 1  # type: ignore[attr-defined]  # it takes one, whatever the pools' file says
    async with scheduler(pools_of(server_of(server, slots=50)), tmp_path) as one:
        work = [asyncio.create_task(one.text(body(f"prompt {n}"))) for n in range(3)]
        await until(lambda: _seen(one))
        await asyncio.sleep(0.2)
        work += [asyncio.create_task(one.text(body(f"more {n}"))) for n in range(3)]
        await asyncio.sleep(0.2)
        assert len(server.calls) == 3
        await asyncio.gather(*work)
    assert len(server.calls) == 6


async def _seen(one: Running) -> bool:
    return bool((await one.get("state"))["servers"][0]["waiting_there"] >= 1)


@pytest.mark.parametrize(("shared", "expected"), [(True, 1), (False, 2)])
async def test_prompts_with_a_common_beginning_go_to_the_same_server(tmp_path: Path, shared: bool, expected: int) -> None:
    with FakeServer() as first, FakeServer() as second:
        async with scheduler(pools_of(server_of(first, "first"), server_of(second, "second")), tmp_path) as one:
            for number in range(6):
                beginning = "The same long beginning. " * 60 if shared else f"{number} " * 700
                await asyncio.gather(*(one.text(body(f"{beginning} {number}{n}")) for n in range(2)))
        assert sum(bool(fake.calls) for fake in (first, second)) >= expected
        if shared:
            assert abs(len(first.calls) - len(second.calls)) == 12


def test_blocks_are_shared_as_far_as_the_prompts_are() -> None:
    one, two = routing.blocks("a" * 1000 + "b" * 1000), routing.blocks("a" * 1000 + "c" * 1000)
    common = sum(x == y for x, y in zip(one, two, strict=True))
    assert common == 1000 // routing.BLOCK
    seen = routing.Prefixes(most=4)
    seen.add(one)
    assert seen.common(one) == 0  # the oldest blocks were forgotten, so nothing is common from the start
