"""vLLM under load: many at once, clients that go away, more calls than slots. Seen in vLLM's own metrics."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from inference.client import Client
from inference.serving.sizing import Model, tokens_in
from tests.inference.conftest import step_of
from tests.vllm.server import MODEL, SLOTS, VllmServer

RUNNING, WAITING = "vllm:num_requests_running", "vllm:num_requests_waiting"
SMOLLM2 = Model(135e6, layers=30, kv_heads=3, head_dim=64)
STORY = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Tell a long story about a river."}],
    "max_tokens": 900,
    "ignore_eos": True,
}


def numbered(n: int) -> type[BaseModel]:
    class Numbered(BaseModel):
        number: Annotated[str, Field(pattern=f"^call {n}$")]

    return Numbered


def awaited(what: str, true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, f"not within 60 s: {what}"
        time.sleep(0.05)


def in_use(server: VllmServer) -> tuple[float, float]:
    return server.metric(RUNNING), server.metric(WAITING)


@contextmanager
def stories(server: VllmServer, count: int) -> Iterator[None]:
    """Long generations that nobody reads; at the end their clients go away."""
    with ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(server.streamed(STORY))
        yield


async def test_eight_calls_at_once_get_their_own_answers(client: Client) -> None:
    llm = step_of(client, limit_s=110)
    answers = await asyncio.gather(*(llm.answer(numbered(n), f"Say call {n}.", max_tokens=40) for n in range(8)))
    assert [answer.number for answer in answers] == [f"call {n}" for n in range(8)]
    assert llm.usage.calls == 8


def test_a_client_that_goes_away_frees_its_slot(vllm_server: VllmServer) -> None:
    with vllm_server.streamed(STORY) as chunks:
        next(chunks)
        awaited("it is seen to run", lambda: in_use(vllm_server) == (1, 0))
    awaited("the slot is free", lambda: in_use(vllm_server) == (0, 0))


async def test_a_caller_that_is_cancelled_before_its_answer_frees_its_slot(vllm_server: VllmServer) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", vllm_server.port)
    body = json.dumps(STORY)
    head = f"Host: vllm\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())
    await writer.drain()
    await asyncio.to_thread(awaited, "the call runs", lambda: in_use(vllm_server) == (1, 0))
    writer.close()
    await asyncio.to_thread(awaited, "the slot is free", lambda: in_use(vllm_server) == (0, 0))


@pytest.mark.parametrize("calls", [12])
def test_what_is_more_than_its_slots_waits_and_none_of_it_stays(vllm_server: VllmServer, calls: int) -> None:
    with stories(vllm_server, calls):
        awaited("slots are full and the rest waits", lambda: in_use(vllm_server) == (SLOTS, calls - SLOTS))
    awaited("nothing runs or waits", lambda: in_use(vllm_server) == (0, 0))


async def test_a_call_that_waited_is_answered(vllm_server: VllmServer, client: Client) -> None:
    with stories(vllm_server, SLOTS):
        awaited("slots are full", lambda: in_use(vllm_server) == (SLOTS, 0))
        waiting = asyncio.create_task(step_of(client, limit_s=110).text("Say yes.", max_tokens=4))
        await asyncio.to_thread(awaited, "it waits", lambda: in_use(vllm_server) == (SLOTS, 1))
    assert await waiting


def test_the_cache_holds_the_tokens_that_the_sizing_says(vllm_server: VllmServer) -> None:
    cache = vllm_server.info("vllm:cache_config_info")
    size, block = int(cache["kv_cache_memory_bytes"]), int(cache["block_size"])
    assert int(cache["kv_cache_size_tokens"]) == tokens_in(size, SMOLLM2, block=block)
