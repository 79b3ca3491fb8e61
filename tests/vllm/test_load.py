"""vLLM under load: many at once, clients that go away, more calls than slots. Seen in vLLM's own metrics."""

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

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


def awaited(what: str, look: Callable[[], Any], wanted: object = True) -> None:
    began, seen = time.monotonic(), []
    while (found := look()) != wanted:
        after = time.monotonic() - began
        if not seen or seen[-1][1] != found:
            seen.append((f"after {after:.1f} s", found))
        assert after < 60, f"{what}: not {wanted} within 60 s, but {seen}"
        time.sleep(0.05)


def awaited_in_use(server: VllmServer, running: int, waiting: int) -> None:
    awaited("calls that run, that wait", lambda: (server.metric(RUNNING), server.metric(WAITING)), (running, waiting))


@contextmanager
def stories(server: VllmServer, running: int, waiting: int = 0) -> Iterator[None]:
    """Long generations that are seen to run, or to wait for it; nobody reads them, and at the end their clients go away.

    They are begun anew where they ended unseen: on two cores, vLLM once sent a story's first chunk 42 s after it was asked, when
    nothing ran any more.
    """
    for last in (False, False, True):
        with ExitStack() as stack:
            for _ in range(running + waiting):
                stack.enter_context(server.streamed(STORY))
            try:
                awaited_in_use(server, running, waiting)
            except AssertionError:
                if last:
                    raise
                continue
            yield
            return


async def test_eight_calls_at_once_get_their_own_answers(client: Client) -> None:
    llm = step_of(client, limit_s=110)
    answers = await asyncio.gather(*(llm.answer(numbered(n), f"Say call {n}.", max_tokens=40) for n in range(8)))
    assert [answer.number for answer in answers] == [f"call {n}" for n in range(8)]
    assert llm.usage.calls == 8


def test_a_client_that_goes_away_frees_its_slot(vllm_server: VllmServer) -> None:
    with stories(vllm_server, 1):
        pass
    awaited_in_use(vllm_server, 0, 0)


async def test_a_caller_that_is_cancelled_before_its_answer_frees_its_slot(vllm_server: VllmServer) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", vllm_server.port)
    body = json.dumps(STORY)
    head = f"Host: vllm\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
    writer.write(f"POST /v1/chat/completions HTTP/1.1\r\n{head}\r\n\r\n{body}".encode())
    await writer.drain()
    await asyncio.to_thread(awaited_in_use, vllm_server, 1, 0)
    writer.close()
    await asyncio.to_thread(awaited_in_use, vllm_server, 0, 0)


def test_what_is_more_than_its_slots_waits_and_none_of_it_stays(vllm_server: VllmServer) -> None:
    with stories(vllm_server, SLOTS, 8):
        pass
    awaited_in_use(vllm_server, 0, 0)


async def test_a_call_that_waited_is_answered(vllm_server: VllmServer, client: Client) -> None:
    with stories(vllm_server, SLOTS):
        waiting = asyncio.create_task(step_of(client, limit_s=110).text("Say yes.", max_tokens=4))
        await asyncio.to_thread(awaited_in_use, vllm_server, SLOTS, 1)
    assert await waiting


def test_the_cache_holds_the_tokens_that_the_sizing_says(vllm_server: VllmServer) -> None:
    cache = vllm_server.info("vllm:cache_config_info")
    size, block = int(cache["kv_cache_memory_bytes"]), int(cache["block_size"])
    assert int(cache["kv_cache_size_tokens"]) == tokens_in(size, SMOLLM2, block=block)
