"""The scheduler in front of a real vLLM: what it promises of any server, seen in vLLM's own metrics."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.inference.scheduler.conftest import KEY, REQUEST, Running, pools_of, scheduler, until
from tests.vllm.server import MODEL, SLOTS, VllmServer

WAITING, RUNNING = "vllm:num_requests_waiting", "vllm:num_requests_running"


def asked(prompt: str, tokens: int = 60, **more: Any) -> dict[str, Any]:
    said = [{"role": "user", "content": prompt}]
    return {"model": MODEL, "messages": said, "max_tokens": tokens, "temperature": 0, **more}


def towns(number: int) -> dict[str, Any]:
    """The format of an answer that names so many towns."""
    listed = {"type": "array", "items": {"type": "string", "maxLength": 10}, "minItems": number, "maxItems": number}
    shape = {"type": "object", "properties": {"towns": listed}, "required": ["towns"], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": "Towns", "schema": shape}}


def pools(server: VllmServer, slots: int = SLOTS, **settings: Any) -> Any:
    entry = {"name": "vllm", "url": server.url, "kind": "vllm", "slots": slots}
    return pools_of(entry, pool={"models": [MODEL]}, **{"breaker": {"reset_s": 1}, **settings})


@pytest.fixture
async def one(vllm_server: VllmServer, tmp_path: Path) -> AsyncIterator[Running]:
    async with scheduler(pools(vllm_server), tmp_path) as running:
        yield running


async def test_duplicates_join_and_are_streamed_with_their_usage(vllm_server: VllmServer, one: Running) -> None:
    before = vllm_server.metric("vllm:request_success_total")
    sent = asked("Tell of a river.", stream_options={"include_usage": True})
    streams = await asyncio.gather(*(one.streamed(sent, Torpor_Call=KEY) for _ in range(20)))
    texts = {"".join(c["choices"][0]["delta"].get("content") or "" for c in said if c["choices"]) for said in streams}
    assert len(texts) == 1 and texts != {""}
    assert streams[0][-1]["usage"]["completion_tokens"] > 10
    assert vllm_server.metric("vllm:request_success_total") - before == 1


async def test_an_object_has_its_shape_and_a_refused_schema_is_told(one: Running) -> None:
    assert len(json.loads(await one.text(asked("Name eight towns.", 200, response_format=towns(8))))["towns"]) == 8
    wrong = {"type": "json_schema", "json_schema": {"name": "Wrong", "schema": {"type": "nonsense"}}}
    status, answer = await one.ask(asked("Name eight towns.", response_format=wrong))
    assert status == 400 and "Invalid type" in answer["error"]["message"]
    assert (await one.get("state"))["servers"][0]["breaker"] == "closed"


async def test_a_caller_without_a_key_that_goes_away_frees_its_slot(vllm_server: VllmServer, one: Running) -> None:
    call = asyncio.create_task(one.text(asked("Tell a long story.", 900)))
    await until(lambda: vllm_server.metric(RUNNING) == 1, 30)
    call.cancel()
    await until(lambda: vllm_server.metric(RUNNING) == 0, 30)


async def test_vllm_is_never_given_more_than_its_slots(vllm_server: VllmServer, one: Running) -> None:
    work = [asyncio.create_task(one.text(asked(f"Tell of river {n}.", 40))) for n in range(3 * SLOTS)]
    seen = []
    while not all(call.done() for call in work):
        seen.append((vllm_server.metric(RUNNING) + vllm_server.metric(WAITING), (await one.get("state"))["waiting"]))
    assert all(await asyncio.gather(*work))
    assert max(there for there, _ in seen) <= SLOTS and max(waiting for _, waiting in seen) >= SLOTS


async def test_a_vllm_that_others_keep_busy_gets_nothing_more(vllm_server: VllmServer, tmp_path: Path) -> None:
    async with scheduler(pools(vllm_server, slots=64), tmp_path) as one:
        others = [asyncio.create_task(one.text(asked(f"Tell a long story of {n}.", 200))) for n in range(SLOTS + 3)]
        await until(lambda: _seen_waiting(one), 60)
        await asyncio.sleep(1.5)  # a second look
        late = asyncio.create_task(one.text(asked("One more.", 8)))
        await asyncio.sleep(0.2)
        state = await one.get("state")
        assert state["waiting"] == 1 and state["servers"][0]["in_flight"] == SLOTS + 3
        assert all(await asyncio.gather(*others)) and await late


async def _seen_waiting(one: Running) -> bool:
    return bool((await one.get("state"))["servers"][0]["waiting_there"] > 0)


@pytest.mark.parametrize("schema", [False, True])
async def test_kill_9_of_vllm_in_mid_generation_and_its_return(
    vllm_server: VllmServer, tmp_path: Path, schema: bool
) -> None:
    breaker = {"reset_s": 1, "probe_s": 0.1}  # that it is slow at first must not make a third generation
    async with scheduler(pools(vllm_server, breaker=breaker), tmp_path) as one:
        # long, so that it is still being said when it is seen and the server killed, on a busy machine, too
        story = asked("Tell a long story of a river.", 300)
        sent = asked("Name sixty towns.", 900, response_format=towns(60)) if schema else story
        call = asyncio.create_task(one.ask(sent, Torpor_Call=KEY))
        await until(lambda: _said(one, 12), 60)
        vllm_server.kill()
        await asyncio.to_thread(vllm_server.restart)
        status, answer = await call
        account = (await one.get(f"requests/{REQUEST}"))["calls"][0]
    assert status == 200, answer
    text = answer["choices"][0]["message"]["content"]
    assert account["generations"] == 2
    if schema:  # its grammar would begin again, so the answer was begun anew, and the account says what that cost
        assert len(json.loads(text)["towns"]) == 60
        assert account["tokens_twice"] == answer["torpor"]["tokens_twice"] >= 12
    else:
        assert account["tokens_twice"] == 0 and len(text) > 100


async def _said(one: Running, tokens: int) -> bool:
    calls = (await one.get(f"requests/{REQUEST}")).get("calls")
    return bool(calls and calls[0]["tokens"] >= tokens)


async def test_a_scheduler_that_ended_in_mid_generation_goes_on(vllm_server: VllmServer, tmp_path: Path) -> None:
    sent = asked("Tell a long story of a river.", 120)
    async with scheduler(pools(vllm_server), tmp_path) as first:
        call = asyncio.create_task(first.ask(sent, Torpor_Call=KEY))
        await until(lambda: _said(first, 20), 60)
        call.cancel()
    async with scheduler(pools(vllm_server), tmp_path) as second:
        before = vllm_server.metric("vllm:generation_tokens_total")
        status, answer = await second.ask(sent, Torpor_Call=KEY)
        generated = vllm_server.metric("vllm:generation_tokens_total") - before
    assert status == 200 and answer["torpor"]["tokens_twice"] == 0
    assert 20 <= answer["usage"]["completion_tokens"] <= 120
    assert generated <= answer["usage"]["completion_tokens"] - 20 + 1
