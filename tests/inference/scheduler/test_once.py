"""A call with a key is bought once, whoever asks how often, and whoever dies."""

import asyncio
import hashlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from obstore.store import LocalStore

from inference.client import Client, StepModel
from inference.errors import ChangedCallError
from inference.scheduler.archive import Archive
from inference.scheduler.failures import LostError
from inference.testing import FakeServer, Scripted
from tests.inference.scheduler.conftest import KEY, REQUEST, Running, body, pools_of, scheduler, server_of, until


async def test_a_thousand_duplicates_cost_one_generation_each(server: FakeServer, one: Running) -> None:
    server.tokens_per_second = 200
    said = await asyncio.gather(*(one.text(body(), Torpor_Call=KEY) for _ in range(1000)))
    assert len(set(said)) == 1
    assert len(server.calls) == 1
    assert await one.text(body(), Torpor_Call=KEY) == said[0]
    state = await one.get("state")
    assert (state["call_keys"], state["generations"], state["tokens_twice"], len(server.calls)) == (1, 1, 0, 1)


async def test_joiners_stream_what_was_said_before_and_what_comes(server: FakeServer, one: Running) -> None:
    server.tokens_per_second = 100
    first = asyncio.create_task(one.streamed(body(), Torpor_Call=KEY))
    await until(lambda: server.calls and server.calls[0].tokens >= 5)
    second = await one.streamed(body(), Torpor_Call=KEY)
    texts = ["".join(c["choices"][0].get("delta", {}).get("content") or "" for c in s) for s in (await first, second)]
    assert texts[0] == texts[1] == await one.text(body(), Torpor_Call=KEY)
    assert len(server.calls) == 1


async def test_the_same_key_with_another_prompt_is_refused(server: FakeServer, one: Running) -> None:
    await one.text(body(), Torpor_Call=KEY)
    status, answer = await one.ask(body("Why do bears?"), Torpor_Call=KEY)
    assert (status, answer["error"]["code"]) == (409, "call_key_conflict")
    assert "belongs to another prompt" in answer["error"]["message"]
    assert len(server.calls) == 1


async def test_a_step_that_is_sent_on_buys_once_what_it_asks_otherwise_than_before(server: FakeServer, one: Running) -> None:
    client = Client(f"{one.url}/v1", "fake-model")
    terms = {"deadline": datetime.now(UTC) + timedelta(minutes=5), "budget_tokens": 50_000, "time_limit_s": 30}

    def step(redriven: bool) -> StepModel:
        return client.for_step(key=f"{REQUEST}/research/1.0", traceparent=None, redriven=redriven, **terms)

    said = await step(False).text("Why do bats?")
    with pytest.raises(ChangedCallError):
        await step(False).text("Why do bears?")
    assert await step(True).text("Why do bats?") == said and len(server.calls) == 1
    anew = [await step(True).text("Why do bears?") for _ in range(2)]
    assert anew[0] == anew[1] and len(server.calls) == 2
    await step(True).text("Why do mice?")
    assert len(server.calls) == 3
    with pytest.raises(ChangedCallError):
        await step(False).text("Why do bears?")


async def test_what_was_bought_of_a_model_is_answered_when_another_is_served(server: FakeServer, tmp_path: Path) -> None:
    async with scheduler(pools_of(server_of(server)), tmp_path) as before:
        said = await before.text(body(), Torpor_Call=KEY)
    server.name = "its-successor"
    pools = pools_of(server_of(server, model="its-successor"), pool={"models": ["its-successor"]})
    async with scheduler(pools, tmp_path) as after:
        assert await after.text(body(), Torpor_Call=KEY) == said
        assert await after.text({**body(), "model": "its-successor"}, Torpor_Call=KEY) == said
        status, answer = await after.ask(body("another"))
        assert (status, answer["error"]["code"]) == (404, "model_not_found")
        assert 'model="(unknown)"' in await after.get("metrics")
    assert len(server.calls) == 1


async def test_a_server_whose_connection_broke_is_asked_again_after_a_moment_only(server: FakeServer, one: Running) -> None:
    server.script += [Scripted(body='{"choices": []}', drop=True), Scripted(text="one two three four")]
    begun = time.monotonic()
    assert await one.text(body(), Torpor_Call=KEY) == "one two three four"
    assert len(server.calls) == 2 and time.monotonic() - begun >= LostError.after


async def test_a_connection_that_breaks_ends_no_pause_that_its_server_asked_for(server: FakeServer, one: Running) -> None:
    broken = Scripted(body='{"choices": []}', drop=True, delay_s=0.2)
    server.script += [broken, Scripted(status=429, headers={"Retry-After": "1"})]
    begun = time.monotonic()
    breaks = asyncio.create_task(one.text(body("first")))
    await until(lambda: len(server.calls) == 1)
    await asyncio.gather(breaks, one.text(body("second")))
    assert len(server.calls) == 4 and time.monotonic() - begun >= 1.0


async def test_answers_outlive_the_scheduler_and_its_journal(server: FakeServer, tmp_path: Path) -> None:
    pools = pools_of(server_of(server))
    async with scheduler(pools, tmp_path) as first:
        said = await first.text(body(), Torpor_Call=KEY)
    async with scheduler(pools, tmp_path) as second:  # from the journal
        assert await second.text(body(), Torpor_Call=KEY) == said
        await second.http.delete(f"{second.url}/requests/{REQUEST}")
        await until(lambda: list((tmp_path / "store/calls").glob("*.json")))
    (tmp_path / "journal/journal.jsonl").unlink()
    async with scheduler(pools, tmp_path) as third:  # from the store
        assert await third.text(body(), Torpor_Call=KEY) == said
        status, answer = await third.ask(body("another"), Torpor_Call=KEY)
        assert (status, answer["error"]["code"]) == (409, "call_key_conflict")
    assert len(server.calls) == 1


async def test_an_answer_whose_caller_vanished_is_there_for_its_redelivery(server: FakeServer, one: Running) -> None:
    server.tokens_per_second = 100
    asked = asyncio.create_task(one.text(body(), Torpor_Call=KEY))
    await until(lambda: server.calls and server.calls[0].tokens >= 3)
    asked.cancel()
    await until(lambda: server.calls[0].tokens == 20)
    assert await one.text(body(), Torpor_Call=KEY)
    assert len(server.calls) == 1 and not server.calls[0].aborted


async def test_a_caller_without_a_key_that_goes_away_frees_its_slot(server: FakeServer, one: Running) -> None:
    server.tokens_per_second = 50
    asked = asyncio.create_task(one.text(body(max_tokens=500)))
    await until(lambda: server.calls and server.calls[0].tokens >= 3)
    asked.cancel()
    await until(lambda: server.calls[0].aborted and server.running == 0)
    await until(lambda: _in_flight(one, 0))
    assert server.calls[0].tokens < 100


async def _in_flight(running: Running, number: int) -> bool:
    return bool((await running.get("state"))["servers"][0]["in_flight"] == number)


async def test_what_waits_in_the_queue_and_is_wanted_no_more_is_not_bought(server: FakeServer, tmp_path: Path) -> None:
    server.tokens_per_second = 40
    async with scheduler(pools_of(server_of(server, slots=1)), tmp_path) as one:
        running = asyncio.create_task(one.text(body("first")))
        await until(lambda: server.calls)
        waiting = asyncio.create_task(one.text(body("second"), Torpor_Call=KEY))
        await asyncio.sleep(0.05)
        waiting.cancel()
        await running
        await until(lambda: _in_flight(one, 0))
        assert [call.prompt for call in server.calls] == ["first"]


@pytest.mark.parametrize("schema", [False, True])
async def test_a_server_that_breaks_off_is_gone_on_with_where_it_can(
    server: FakeServer, tmp_path: Path, schema: bool
) -> None:
    text = '{"names": ["a", "b", "c"], "count": 3, "told": "a sentence that is long enough to be broken"}'
    server.script += [Scripted(text=text, drop=True), Scripted(text=text)]
    shape = {"response_format": {"type": "json_schema", "json_schema": {"name": "S", "schema": {"type": "object"}}}}
    kind = "llama.cpp" if schema else "vllm"
    async with scheduler(pools_of(server_of(server, kind=kind)), tmp_path) as one:
        said = await one.text(body(**(shape if schema else {}), max_tokens=60), Torpor_Call=KEY)
        account = (await one.get(f"requests/{REQUEST}"))["calls"][0]
    assert said == text
    assert (account["generations"], account["tokens_twice"]) == (2, 0)
    assert server.calls[1].prefix == text[: len(server.calls[1].prefix)] != ""


async def test_where_a_server_cannot_go_on_the_ledger_says_what_was_bought_twice(server: FakeServer, tmp_path: Path) -> None:
    server.script += [Scripted(text="one two three four five six", drop=True), Scripted(text="one two three four five six")]
    async with scheduler(pools_of(server_of(server, kind="openai")), tmp_path) as one:
        _, answer = await one.ask(body(), Torpor_Call=KEY)
        account = (await one.get(f"requests/{REQUEST}"))["calls"][0]
        twice = await one.metric('tokens_twice_total{server="one"}')
    half = server.calls[0].tokens - 1
    assert answer["choices"][0]["message"]["content"] == "one two three four five six"
    assert answer["torpor"]["tokens_twice"] == account["tokens_twice"] == twice == half
    assert answer["usage"]["completion_tokens"] == 9
    assert answer["torpor"]["bought_tokens"] == 2 * answer["usage"]["prompt_tokens"] + 9 + half


async def test_a_stream_whose_answer_was_begun_anew_says_so_and_is_whole_when_asked_again(
    server: FakeServer, tmp_path: Path
) -> None:
    server.script += [Scripted(text="one two three four five six", drop=True), Scripted(text="seven")]
    server.tokens_per_second = 50
    async with scheduler(pools_of(server_of(server, kind="openai")), tmp_path) as one:
        said = await one.streamed(body(), Torpor_Call=KEY)
        assert "begun anew; ask again" in said[-1]["error"]["message"]
        assert await one.text(body(), Torpor_Call=KEY) == "seven"
    assert len(server.calls) == 2


async def test_the_key_of_one_call_needs_one_answer(one: Running) -> None:
    status, answer = await one.ask(body(n=2), Torpor_Call=KEY)
    assert status == 400 and "n=1" in answer["error"]["message"]


async def test_a_client_that_hangs_up_while_it_streams_ends_nobody_elses_stream(server: FakeServer, one: Running) -> None:
    server.tokens_per_second = 60
    sent = {**body(), "stream": True}
    headers = {"Torpor-Call": KEY}
    other = asyncio.create_task(one.streamed(body(), Torpor_Call=KEY))
    async with aiohttp.ClientSession() as http, http.post(f"{one.url}/v1/chat/completions", json=sent, headers=headers) as a:
        await a.content.readany()
    assert "error" not in (await other)[-1]


@pytest.mark.parametrize("kept", [b"", b"not JSON", b"[]", b'{"answer": 5}', b"[" * 100_000, b"\xff"])
async def test_what_nobody_can_read_in_the_store_is_neither_an_answer_nor_bought_again(
    server: FakeServer, tmp_path: Path, kept: bytes
) -> None:
    place = tmp_path / "store" / "calls" / f"{hashlib.sha256(KEY.encode()).hexdigest()}.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(kept)
    async with scheduler(pools_of(server_of(server)), tmp_path) as one:
        status, answer = await one.ask(body(), Torpor_Call=KEY)
        assert (status, answer["error"]["code"], server.calls) == (503, "journal_failed", [])
        place.unlink()
        assert (await one.ask(body(), Torpor_Call=KEY))[0] == 200


async def test_answers_wait_for_a_store_that_is_away_and_are_there_meanwhile(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = True
    put = LocalStore.put_async

    async def putting(self: LocalStore, *given: Any, **more: Any) -> Any:
        if away:
            raise OSError("the store is away")
        return await put(self, *given, **more)

    store = LocalStore(tmp_path / "store", mkdir=True)
    wrapped = SimpleNamespace(put_async=lambda *given, **more: putting(store, *given, **more), get_async=store.get_async)
    monkeypatch.setattr("inference.scheduler.__main__.Archive.open", lambda *_: Archive(wrapped))
    monkeypatch.setattr("inference.scheduler.__main__.SWEEP_EVERY_S", 0.01)
    monkeypatch.setattr("inference.scheduler.ledger.READABLE_S", -1.0)
    async with scheduler(pools_of(server_of(server)), tmp_path) as one:
        said = await one.text(body(), Torpor_Call=KEY)
        await one.http.delete(f"{one.url}/requests/{REQUEST}")
        assert await one.text(body(), Torpor_Call=KEY) == said
        await asyncio.sleep(0.1)  # of many sweeps: nothing is forgotten before it is kept
        assert [call["call"] for call in (await one.get(f"requests/{REQUEST}"))["calls"]] == [KEY]
        away = False
        await until(lambda: list((tmp_path / "store" / "calls").glob("*.json")))
    assert len(server.calls) == 1
