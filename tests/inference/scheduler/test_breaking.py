"""Servers that fail: who notices, who is asked instead, when they are asked again."""

import asyncio
from collections import deque
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from inference.scheduler.breaker import Breaker
from inference.testing import FakeServer, Scripted
from tests.inference.conftest import free_port
from tests.inference.scheduler.conftest import KEY, Running, body, pools_of, scheduler, server_of, until

QUICK = {"failures": 5, "reset_s": 0.5}


async def _state(one: Running, number: int = 0) -> str:
    return str((await one.get("state"))["servers"][number]["breaker"])


async def test_a_breaker_opens_after_five_failures_and_closes_after_one_probe(server: FakeServer, tmp_path: Path) -> None:
    server.otherwise = Scripted(status=500)
    pools = pools_of(server_of(server), breaker=QUICK, limits={"attempts": 1})
    async with scheduler(pools, tmp_path) as one:
        for failure in range(5):
            assert await _state(one) == "closed"
            status, answer = await one.ask(body(f"prompt {failure}"))
            assert (status, answer["error"]["code"]) == (502, "model_server_failed")
        assert (await _state(one), await one.metric('breaker_state{server="one"}')) == ("open", 2)
        server.otherwise, server.tokens_per_second = Scripted(), 100
        waiting = [asyncio.create_task(one.text(body(f"waits {n}"))) for n in range(20)]
        await until(lambda: len(server.calls) == 6)
        await asyncio.sleep(0.1)
        assert len(server.calls) == 6 and await _state(one) == "half-open"  # one probe, however many wait
        assert len(await asyncio.gather(*waiting)) == 20
        assert await _state(one) == "closed"
        assert [
            await one.metric(f'breaker_changes_total{{server="one",to="{to}"}}') for to in ("open", "half-open", "closed")
        ] == [1] * 3


async def test_a_probe_that_fails_opens_the_breaker_again(server: FakeServer, tmp_path: Path) -> None:
    server.otherwise = Scripted(status=500)
    async with scheduler(pools_of(server_of(server), breaker=QUICK), tmp_path) as one:
        asked = asyncio.create_task(one.text(body(), Torpor_Wait="10"))
        with pytest.raises(AssertionError, match="model_server_failed"):
            await asked
        asked = asyncio.create_task(one.text(body(), Torpor_Wait="10"))
        await until(lambda: len(server.calls) >= 6)
        await until(lambda: _opened(one, 2))
        server.otherwise = Scripted()
        assert await asked


async def test_a_clock_that_is_set_back_keeps_no_breaker_open() -> None:
    breaker = Breaker("one", 1, 0.02, lambda *_: None)
    breaker.leave(breaker.enter(), failed=True)
    breaker._breaker._state_storage.opened_at = datetime.now(UTC) + timedelta(hours=1)
    assert breaker.state == "open" and not breaker.ready and breaker.opens_in() < 1
    await until(lambda: breaker.ready)
    assert breaker.enter() and not breaker.ready


async def _opened(one: Running, times: int) -> bool:
    return await one.metric('breaker_changes_total{server="one",to="open"}') >= times


@pytest.mark.parametrize("status", [400, 422, 429])
async def test_what_is_no_fault_of_the_server_never_counts(server: FakeServer, tmp_path: Path, status: int) -> None:
    server.script += [Scripted(status=status, headers={"Retry-After": "0"})] * 9
    async with scheduler(pools_of(server_of(server), breaker=QUICK), tmp_path) as one:
        for number in range(9 if status != 429 else 1):
            answered, answer = await one.ask(body(f"prompt {number}"))
            assert answered == (200 if status == 429 else status), answer
        assert await _state(one) == "closed"
        assert await one.metric('breaker_changes_total{server="one",to="open"}') == 0


async def test_a_server_that_is_still_loading_is_waited_for_and_nothing_counts_as_bought(
    server: FakeServer, tmp_path: Path
) -> None:
    server.script += [Scripted(status=503)] * 4
    async with scheduler(pools_of(server_of(server)), tmp_path) as one:
        assert await one.text(body(), Torpor_Call=KEY)
        state = await one.get("state")
    assert (state["generations"], state["call_keys"], len(server.calls)) == (1, 1, 5)


async def test_with_one_of_two_servers_killed_in_mid_load_no_call_fails(tmp_path: Path) -> None:
    with FakeServer(tokens_per_second=100) as living:
        dying = FakeServer(tokens_per_second=100)
        with dying:
            pools = pools_of(server_of(dying, "dying"), server_of(living, "living"))
            async with scheduler(pools, tmp_path) as one:
                load = [asyncio.create_task(one.text(body(f"prompt {n}"), Torpor_Call=f"{KEY}{n}")) for n in range(60)]
                await until(lambda: len(dying.calls) > 8)
                dying.die()
                said = await asyncio.gather(*load)
                assert len(said) == 60 and all(said)
                later = [one.text(body(f"later {n}")) for n in range(10)]
                assert all(await asyncio.gather(*later))
                assert await _state(one) == "open"


async def test_a_pool_of_which_nobody_can_be_asked_falls_back(server: FakeServer, tmp_path: Path) -> None:
    gone = {"name": "gone", "url": f"http://127.0.0.1:{free_port()}/v1", "slots": 4}
    spare = {"name": "spare", "models": ["spare-model"], "servers": [server_of(server, "spare")]}
    pools = pools_of(gone, more=(spare,), pool={"fallback": "spare"})
    async with scheduler(pools, tmp_path) as one:
        said = await asyncio.gather(*(one.text(body(f"prompt {n}")) for n in range(8)))
        assert all(said) and len(server.calls) == 8
        assert [await _state(one, 0), await _state(one, 1)] == ["open", "closed"]


async def test_when_all_breakers_are_open_a_call_waits_and_is_refused_only_when_it_cannot_be_in_time(tmp_path: Path) -> None:
    gone = {"name": "gone", "url": f"http://127.0.0.1:{free_port()}/v1", "slots": 4}
    async with scheduler(pools_of(gone, breaker={"failures": 2, "reset_s": 30}), tmp_path) as one:
        status, answer = await one.ask(body(), Torpor_Wait="0.5")
        assert (status, answer["error"]["code"]) == (503, "not_in_time")
        assert "breakers of gone are open; nothing was bought" in answer["error"]["message"]
        async with one.http.post(f"{one.url}/v1/chat/completions", json=body(), headers={"Torpor-Wait": "0.1"}) as answered:
            assert 25 <= int(answered.headers["Retry-After"]) <= 31


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (
            Scripted(body="<html>hello</html>", content_type="text/html"),
            "answered no JSON but '<html>hello</html>'; is http",
        ),
        (Scripted(body="{}"), "answered no completion but '{}'"),
        (Scripted(body='data: {"choices": 5}\n\n', content_type="text/event-stream"), "streamed no completion but"),
        (Scripted(body="data: not JSON\n\n", content_type="text/event-stream"), "streamed no JSON but 'not JSON'"),
        (Scripted(body='data: {"choices": []}\n\n', content_type="text/event-stream"), "broke off in the middle"),
        (Scripted(body='data: {"error": {"message": "cuda", "code": 500}}\n\n', content_type="text/event-stream"), "cuda"),
        (Scripted(status=500), "answered 500"),
        (Scripted(text="half of a stream", drop=True), "broke off"),
        (Scripted(text="half of a stream", hang=True), "silent for 0.3 s"),
        (Scripted(status=401), "put a key that it takes"),
        (Scripted(status=302, headers={"Location": "/login"}), "redirects are not followed"),
    ],
)
async def test_a_server_that_answers_no_completion_is_left_for_another(
    server: FakeServer, tmp_path: Path, how: Scripted, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    server.otherwise = how
    with FakeServer() as sound:
        limits = {"silence_s": 0.3, "first_token_s": 5}
        pools = pools_of(server_of(server, "a-bad"), server_of(sound, "sound", kind="openai"), limits=limits)
        async with scheduler(pools, tmp_path) as one:
            assert await one.text(body())
    assert len(server.calls) == len(sound.calls) == 1
    assert told in caplog.text


async def test_changes_of_a_breaker_are_cloudevents_on_the_platforms_topic(server: FakeServer, tmp_path: Path) -> None:
    got: list[tuple[str, Any, Any]] = []

    async def ingress(request: web.Request) -> web.Response:
        got.append((request.path, dict(request.headers), await request.json()))
        return web.Response(status=202 if len(got) > 1 else 503)

    app = web.Application()
    app.router.add_post("/torpor/{broker}", ingress)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/torpor"
    server.otherwise = Scripted(status=500)
    async with scheduler(pools_of(server_of(server), breaker={"failures": 4, "reset_s": 60}), tmp_path, url) as one:
        await one.ask(body())
        await until(lambda: len(got) == 2)
    path, headers, data = got[1]
    assert path == "/torpor/platform-events" and data == {"server": "one", "state": "open"}
    assert (headers["ce-type"], headers["ce-source"], headers["ce-subject"]) == ("platform_events", "/scheduler", "one")
    assert got[0][1]["ce-id"] == headers["ce-id"]  # the same event again, since it was not taken
    await runner.cleanup()


HANGS = Scripted(text="this is said until half of it is out", hang=True)


async def test_a_probe_that_hangs_is_given_up_before_a_call_would_be_and_the_next_one_goes(
    server: FakeServer, tmp_path: Path
) -> None:
    server.otherwise = Scripted(status=500)
    breaker = {"failures": 2, "reset_s": 0.1, "probe_s": 0.2}
    async with scheduler(pools_of(server_of(server), breaker=breaker, limits={"attempts": 1}), tmp_path) as one:
        assert [(await one.ask(body(f"fails {n}")))[0] for n in range(2)] == [502, 502]
        server.script, server.otherwise = deque([HANGS]), Scripted()
        hung, *others = [asyncio.create_task(one.ask(body(f"waits {n}"))) for n in range(6)]
        async with asyncio.timeout(10):  # a call would be given up after a minute
            told = await hung
            assert [(await each)[0] for each in others] == [200] * 5
        assert told[0] == 502 and "silent for 0.2 s" in told[1]["error"]["message"]
        assert await _state(one) == "closed"


async def test_a_server_that_is_slow_to_begin_is_let_in_again_by_a_probe_that_bears_it(
    server: FakeServer, tmp_path: Path
) -> None:
    server.script += [Scripted(status=500)] * 2
    server.otherwise = Scripted(delay_s=0.5)
    breaker = {"failures": 2, "reset_s": 0.1, "probe_s": 0.1}
    async with scheduler(pools_of(server_of(server), breaker=breaker, limits={"attempts": 20}), tmp_path) as one:
        async with asyncio.timeout(20):
            assert await one.text(body())
        assert await _state(one) == "closed"
        assert len(server.calls) >= 2 + 3  # 0.1, 0.2 and 0.4 seconds were too little


async def test_a_server_of_which_nothing_is_heard_loses_its_calls_before_one_that_only_makes_one_wait(
    server: FakeServer, tmp_path: Path
) -> None:
    server.tokens_per_second = 20
    limits = {"silence_s": 60, "stall_s": 1.5}
    async with scheduler(
        pools_of(server_of(server), breaker={"failures": 9, "reset_s": 30}, limits=limits), tmp_path
    ) as one:
        server.script += [HANGS, Scripted(text="word " * 30), Scripted(text=HANGS.text)]
        waits = asyncio.create_task(one.text(body("hangs")))
        await until(lambda: len(server.calls) == 1)
        assert await one.text(body("speaks"))
        assert not waits.done() and len(server.calls) == 2
        async with asyncio.timeout(10):
            assert await waits == HANGS.text and len(server.calls) == 3


async def test_a_server_that_died_is_asked_again_as_soon_as_it_is_back(tmp_path: Path) -> None:
    port = free_port()
    with FakeServer(port=port, tokens_per_second=20) as first:
        pools = pools_of(server_of(first), breaker={"failures": 2, "reset_s": 600}, limits={"attempts": 9})
        async with scheduler(pools, tmp_path) as one:
            asked = [asyncio.create_task(one.text(body(f"prompt {n}"))) for n in range(4)]
            await until(lambda: sum(call.tokens > 0 for call in first.calls) == 4)
            first.die()
            await until(lambda: _opened(one, 1))
            with FakeServer(port=port):
                async with asyncio.timeout(30):  # its breaker would keep it out for ten minutes
                    assert all(await asyncio.gather(*asked))
                assert await _state(one) == "closed"


async def test_a_server_that_is_back_and_slow_at_first_is_asked_once(tmp_path: Path) -> None:
    port = free_port()
    with FakeServer(port=port, tokens_per_second=20) as first:
        breaker = {"failures": 2, "reset_s": 0.2, "probe_s": 0.1}  # probed before anybody has seen that it is back, too
        async with scheduler(pools_of(server_of(first), breaker=breaker, limits={"attempts": 9}), tmp_path) as one:
            asked = asyncio.create_task(one.text(body()))
            await until(lambda: sum(call.tokens > 0 for call in first.calls) == 1)
            first.die()
            await until(lambda: _opened(one, 1))
            with FakeServer(port=port) as back:
                back.otherwise = Scripted(delay_s=1.0)
                assert await asked
                assert len(back.calls) == 1 and await _state(one) == "closed"
