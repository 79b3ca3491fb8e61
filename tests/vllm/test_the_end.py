"""vLLM ends in the middle of generations: by kill -9, told to, by a crash of its engine. Nothing of it stays behind."""

import asyncio
import os
import signal

import pytest

from inference.client import Client
from inference.errors import ModelUnavailableError
from tests.inference.conftest import step_of
from tests.vllm.server import MODEL, VllmServer
from tests.vllm.test_load import RUNNING, awaited

LONG = {"model": MODEL, "messages": [{"role": "user", "content": "Count."}], "max_tokens": 900, "ignore_eos": True}


async def test_killed_in_mid_generation_it_returns_and_answers_as_before(vllm_server: VllmServer, client: Client) -> None:
    before = await step_of(client).text("Name a colour.", max_tokens=12)
    call = asyncio.create_task(step_of(client, limit_s=60).text("Write a long story about a river.", max_tokens=900))
    await asyncio.to_thread(awaited, "it generates", lambda: vllm_server.metric(RUNNING), 1)
    first = vllm_server.pid
    vllm_server.kill()
    with pytest.raises(ModelUnavailableError):  # worth another try, and bought: the client does not ask again by itself
        await call
    vllm_server.restart()
    assert vllm_server.pid != first
    assert await step_of(client).text("Name a colour.", max_tokens=12) == before


def test_told_to_stop_it_finishes_what_runs_and_takes_nothing_new(vllm_server: VllmServer) -> None:
    with vllm_server.streamed({**LONG, "max_tokens": 200}) as chunks:
        next(chunks)
        vllm_server.told_to_stop()
        awaited(
            "a new call is refused", lambda: vllm_server.post("/v1/chat/completions", {**LONG, "max_tokens": 1})[0] == 500
        )
        *_, last = chunks
    assert last["choices"][0]["finish_reason"] == "length"
    awaited("no process is left", lambda: not vllm_server.running and not vllm_server.processes())


def test_when_its_engine_is_killed_it_ends_as_a_whole(vllm_server: VllmServer) -> None:
    with vllm_server.streamed(LONG) as chunks:
        next(chunks)
        (engine,) = (pid for pid in vllm_server.processes() if command(pid).startswith("VLLM::EngineCore"))
        os.kill(engine, signal.SIGKILL)
        awaited("health says so or refuses", lambda: not vllm_server.healthy())
        awaited("no process is left", lambda: not vllm_server.running and not vllm_server.processes())


def command(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline") as file:
        return file.read()
