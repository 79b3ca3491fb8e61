"""A scheduler that runs in the test's own process, in front of fake servers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from inference.scheduler.__main__ import running
from inference.scheduler.config import Pools
from inference.testing import FakeServer

REQUEST = "6f1c2f6e-0000-4000-8000-000000000001"
KEY = f"{REQUEST}/research/1.0#1.0"


def body(prompt: str = "Why do bats hibernate?", **more: Any) -> dict[str, Any]:
    return {"model": "fake-model", "messages": [{"role": "user", "content": prompt}], "max_tokens": 20, **more}


def server_of(fake: FakeServer, name: str = "one", **more: Any) -> dict[str, Any]:
    return {"name": name, "url": fake.url, "kind": "vllm", "model": "fake-model", "slots": 4, **more}


def pools_of(*servers: dict[str, Any], more: tuple[dict[str, Any], ...] = (), **settings: Any) -> Pools:
    first = {"name": "first", "models": ["fake-model"], "servers": list(servers), **settings.pop("pool", {})}
    return Pools.model_validate({"pools": [first, *more], **settings})


@dataclass
class Running:
    """A running scheduler and a client for it."""

    url: str
    http: aiohttp.ClientSession
    announced: list[dict[str, Any]] = field(default_factory=list)

    async def ask(self, sent: dict[str, Any], path: str = "chat/completions", **headers: str) -> tuple[int, dict[str, Any]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(f"{self.url}/v1/{path}", json=sent, headers=named) as answer:
            return answer.status, await answer.json()

    async def text(self, sent: dict[str, Any], **headers: str) -> str:
        status, answer = await self.ask(sent, **headers)
        assert status == 200, answer
        return str(answer["choices"][0]["message"]["content"])

    async def streamed(self, sent: dict[str, Any], **headers: str) -> list[dict[str, Any]]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.post(f"{self.url}/v1/chat/completions", json={**sent, "stream": True}, headers=named) as answer:
            assert answer.status == 200, await answer.text()
            lines = (await answer.text()).split("\n\n")
        said = [line.removeprefix("data: ") for line in lines if line]
        assert said[-1] == "[DONE]" or "error" in said[-1]
        return [json.loads(line) for line in said if line != "[DONE]"]

    async def get(self, path: str) -> Any:
        async with self.http.get(f"{self.url}/{path}") as answer:
            return await (answer.json() if answer.content_type == "application/json" else answer.text())

    async def metric(self, line: str) -> float:
        found = [each for each in (await self.get("metrics")).splitlines() if each.startswith(f"torpor_scheduler_{line} ")]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@contextlib.asynccontextmanager
async def scheduler(pools: Pools, folder: Path, ingress: str | None = None, port: int = 0) -> AsyncIterator[Running]:
    async with running(pools, folder / "journal", (folder / "store").as_uri(), ingress) as app:
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port, backlog=4096)
        await site.start()
        port = runner.addresses[0][1]
        connector, timeout = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=600)
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
                yield Running(f"http://127.0.0.1:{port}", http)
        finally:
            await runner.cleanup()


async def until(true: Any, limit_s: float = 10.0) -> None:
    """Wait until a condition holds; it may be a coroutine function."""
    async with asyncio.timeout(limit_s):
        while not (await found if asyncio.iscoroutine(found := true()) else found):
            await asyncio.sleep(0.01)


@pytest.fixture
async def one(server: FakeServer, tmp_path: Path) -> AsyncIterator[Running]:
    """A scheduler in front of one server."""
    async with scheduler(pools_of(server_of(server)), tmp_path) as found:
        yield found
