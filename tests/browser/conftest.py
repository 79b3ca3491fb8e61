"""A browser, and the gateway that serves it what the formatter wrote."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Route

from eventing.runtime import Runtime
from eventing.state import Journal
from eventing.store import Store
from eventing.testing import memory_bucket
from functions.gateway import main
from tests.browser.chromium import Tab, browser, found

MISSING = "no browser was found: install one (Debian, Ubuntu: apt-get install chromium) or name it with TORPOR_BROWSER"


@pytest.fixture(scope="session")
async def tab() -> AsyncIterator[Tab]:
    path = found()
    if path is None:
        if os.environ.get("CI"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    async with browser(path) as opened:
        yield opened


@pytest.fixture(scope="session")
async def site() -> AsyncIterator[tuple[str, Store]]:
    """The gateway's address, and the bucket behind it."""
    runtime, store = Runtime({}), memory_bucket()
    runtime.__dict__.update(store=store, journal=Journal(store))
    patch = pytest.MonkeyPatch()
    patch.setattr(main, "_runtime", lambda: runtime)
    app = Starlette(routes=[Route("/{path:path}", main.function, methods=["GET", "POST"])])
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.02)
        yield f"http://127.0.0.1:{port}", store
        server.should_exit = True
        await serving
    patch.undo()
