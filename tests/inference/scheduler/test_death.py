"""kill -9 in mid-generation, of the scheduler and of the model server, as processes: nothing is bought twice that need not be."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.inference.conftest import await_health, free_port
from tests.inference.scheduler.conftest import KEY, REQUEST, body, until

TOKENS = 800
SCHEMA = {
    "type": "json_schema",
    "json_schema": {
        "name": "Told",
        "schema": {
            "type": "object",
            "properties": {"told": {"type": "array", "items": {"type": "string"}, "minItems": 60, "maxItems": 60}},
            "required": ["told"],
        },
    },
}


class Process:
    """One process of ours, which can be killed and started again on the same port."""

    def __init__(self, *command: str) -> None:
        self.port = free_port()
        self._command = [sys.executable, "-m", *command, "--port", str(self.port)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(self._command, stderr=subprocess.DEVNULL)
        await_health(self.port, self.process)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class World:
    """A model server and a scheduler before it, each a process, and what is asked of them."""

    def __init__(self, folder: Path, server: Process, kind: str, model: str) -> None:
        entry = {"name": "one", "url": f"{server.url}/v1", "kind": kind, "model": model, "slots": 2}
        config = {"pools": [{"name": "p", "models": ["fake-model"], "servers": [entry]}], "breaker": {"reset_s": 1}}
        (folder / "pools.yaml").write_text(json.dumps(config))
        os.environ.pop("TORPOR_STORE", None)
        self.server = server
        journal = ["--config", str(folder / "pools.yaml"), "--journal", str(folder / "journal")]
        self.scheduler = Process("inference.scheduler", *journal)

    async def ask(self, http: aiohttp.ClientSession, sent: dict[str, Any]) -> dict[str, Any] | None:
        """The answer, or None when the scheduler died over it."""
        try:
            async with http.post(
                f"{self.scheduler.url}/v1/chat/completions", json=sent, headers={"Torpor-Call": KEY}
            ) as answer:
                found = await answer.json()
                assert answer.status == 200, found
                return dict(found)
        except aiohttp.ClientError:
            return None

    async def account(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        async with http.get(f"{self.scheduler.url}/requests/{REQUEST}") as answer:
            calls = (await answer.json()).get("calls") if answer.status == 200 else None
            return dict(calls[0]) if calls else {"tokens": 0}

    async def said(self, http: aiohttp.ClientSession, tokens: int) -> None:
        async def enough() -> bool:
            return bool((await self.account(http))["tokens"] >= tokens)

        await until(enough, 60)

    def close(self) -> None:
        for one in (self.scheduler, self.server):
            one.kill()


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, Process("inference.testing", "--tokens-per-second", "400"), "vllm", "fake-model")
    yield world
    world.close()


@pytest.fixture
def llama(tmp_path: Path, gguf: Path) -> Iterator[World]:
    server = Process("inference.embedded", "--model", str(gguf), "--slots", "2", "--context", "2048")
    world = World(tmp_path, server, "llama.cpp", "smollm2-135m-instruct")
    yield world
    world.close()


async def _generated(http: aiohttp.ClientSession, world: World) -> int:
    """Tokens that the fake server generated for the key, by its own count."""
    async with http.get(f"{world.server.url}/calls") as answer:
        return sum(call["tokens"] for call in (await answer.json())["calls"])


async def test_the_scheduler_dies_at_token_400_of_800_and_few_tokens_are_generated_twice(fake: World) -> None:
    async with aiohttp.ClientSession() as http:
        asked = asyncio.create_task(fake.ask(http, body(max_tokens=TOKENS)))
        await fake.said(http, TOKENS // 2)
        fake.scheduler.kill()
        assert await asked is None
        fake.scheduler.start()
        answer = await fake.ask(http, body(max_tokens=TOKENS))
        account = await fake.account(http)
        generated = await _generated(http, fake)
    assert answer and answer["usage"]["completion_tokens"] == TOKENS
    assert (account["generations"], account["tokens_twice"]) == (2, 0)
    assert 0 <= generated - TOKENS <= 32


async def test_the_model_server_dies_at_token_400_of_800_and_its_caller_sees_nothing_of_it(fake: World) -> None:
    async with aiohttp.ClientSession() as http:
        asked = asyncio.create_task(fake.ask(http, body(max_tokens=TOKENS)))
        await fake.said(http, TOKENS // 2)
        fake.server.kill()
        fake.server.start()
        answer = await asked
        generated = await _generated(http, fake)  # by the second process alone
    assert answer and answer["usage"]["completion_tokens"] == TOKENS and answer["torpor"]["tokens_twice"] == 0
    assert generated <= TOKENS // 2 + 32


@pytest.mark.parametrize("victim", ["scheduler", "server"])
@pytest.mark.parametrize("schema", [False, True])
async def test_a_real_model_goes_on_where_it_was(llama: World, victim: str, schema: bool) -> None:
    sent = body(
        "Tell a long story about rivers.", max_tokens=300, temperature=0, **({"response_format": SCHEMA} if schema else {})
    )
    async with aiohttp.ClientSession() as http:
        asked = asyncio.create_task(llama.ask(http, sent))
        await llama.said(http, 60)
        dying = llama.scheduler if victim == "scheduler" else llama.server
        dying.kill()
        dying.start()
        answer = await asked or await llama.ask(http, sent)
        account = await llama.account(http)
    assert answer
    text = answer["choices"][0]["message"]["content"]
    assert (account["generations"], account["tokens_twice"]) == (2, 0)
    assert len(text) > 150 and answer["usage"]["completion_tokens"] <= 300
    if schema:  # whether it came to its end or was cut at max_tokens, it is one object of the schema
        assert json.loads(text + ("" if text.rstrip().endswith("}") else _closing(text)))["told"]


def _closing(text: str) -> str:
    """What is missing at the end of an object of SCHEMA that was cut."""
    return ('"' if text.count('"') % 2 else "") + "]}"
