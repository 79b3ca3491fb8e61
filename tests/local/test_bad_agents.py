"""What becomes of agents that misbehave, in real function processes: each is told with its line, and none hangs."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import aiohttp
import pytest

from eventing import project as projects
from eventing.envelope import Event
from eventing.local import instance
from eventing.local.config import Config
from eventing.local.functions import Functions, Scaled
from eventing.local.loading import functions_of
from eventing.local.resources import Sink
from eventing.local.sinks import Answer, Sinks
from eventing.scaffold import new_project
from eventing.testing import REQUEST
from tests.local.support import event, until

AGENT = """import asyncio
import time
from eventing import Context, agent
from schemas.letters import Answer, Draft

@agent("editor")
async def handle(draft: Draft, ctx: Context) -> Answer:
    {body}
"""
LINE = "functions/editor/agent.py:8"


@asynccontextmanager
async def served(folder: Path, body: str) -> AsyncIterator[tuple[Scaled, Sinks]]:
    """A project's editor, and the way to it; it has a second."""
    new_project("letters", folder)
    (folder / "functions/editor/agent.py").write_text(AGENT.format(body=body))
    config = Config(folder, folder, folder / "state", workflow=folder / "letters.yaml", brought=projects.brought(folder))
    found = functions_of(folder / "functions", config.brought)["editor"]
    editor = replace(found, environ={**found.environ, "TORPOR_TIME_LIMIT_S": "1"})
    async with aiohttp.ClientSession() as http:
        forks, start = instance.starter(config, http)
        functions = Functions([editor], start, 5)
        yield functions["editor"], Sinks(functions, None, http)  # type: ignore[arg-type]
        await functions.close(1)
        await forks.close()


def draft() -> Event:
    data = json.dumps({"request_id": str(REQUEST), "text": "bats"}).encode()
    return event("letters_drafts", data, requestid=str(REQUEST), time=datetime.now(UTC).isoformat())


async def send(ways: Sinks) -> tuple[Answer, float]:
    begun = time.monotonic()
    return await ways.send(Sink(function="editor"), draft(), 60), time.monotonic() - begun


def noted(folder: Path) -> str:
    """What the request's trail says."""
    return "".join(file.read_text() for file in folder.glob("state/bucket/requests/*/events/*.json"))


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ("raise ValueError('no pen')", 500, f"agent editor raised ValueError: no pen ({LINE})"),
        ("Answer(request_id=draft.request_id)", 500, f"({LINE})"),
        ("return 'a text'", 422, "agent editor answered a str (functions/editor/agent.py:7); edit may answer Answer(...)"),
        ("return draft", 422, "agent editor answered a Draft (functions/editor/agent.py:7); edit may answer Answer(...)"),
        ("pass", 422, "agent editor answered nothing (functions/editor/agent.py:7); edit may answer Answer(...)"),
        ("await asyncio.sleep(3600)", 500, f"agent editor did not finish step edit within 1 s: it waits at {LINE}"),
        ("await asyncio.gather(asyncio.sleep(3600))", 500, f"did not finish step edit within 1 s: it waits at {LINE}"),
        ("time.sleep(3600)", 500, f"agent editor blocked its process for 1 s at {LINE}: await what takes long"),
        ("while True: pass", 500, f"agent editor blocked its process for 1 s at {LINE}"),
    ],
)
async def test_a_handler_that_fails_is_told_with_its_line_and_its_process_goes_on(
    tmp_path: Path, body: str, status: int, told: str
) -> None:
    async with served(tmp_path, body) as (scaled, ways):
        answer, took = await send(ways)
        assert answer.status == status
        assert told in json.loads(answer.body)["detail"]
        headers = {name.lower(): value for name, value in answer.headers.items()}
        assert headers["kne-failedstep"] == "editor" and took < 15
        assert '"type":"step_failed"' in noted(tmp_path).replace(" ", "") and "functions/editor/agent.py" in noted(tmp_path)
        again, took = await send(ways)
        assert again.status == status and took < 3
        assert (scaled.counts.starts, scaled.counts.crashes) == (1, 0)


async def test_a_handler_that_will_not_be_told_to_stop_is_left_behind(tmp_path: Path) -> None:
    body = "while True:\n        try:\n            await asyncio.sleep(60)\n        except asyncio.CancelledError:\n            pass"
    async with served(tmp_path, body) as (_, ways):
        answer, took = await send(ways)
        assert answer.status == 500 and took < 15
        assert (
            "did not finish step edit within 1 s: it waits at functions/editor/agent.py:10"
            in json.loads(answer.body)["detail"]
        )


async def test_a_handler_that_lets_no_signal_through_costs_its_process_and_says_where_it_was(tmp_path: Path) -> None:
    async with served(tmp_path, "return sum(range(10**13))") as (scaled, ways):
        answer, took = await send(ways)
        assert answer.status == 504 and took < 20
        assert answer.body.decode() == f"editor did not answer within 1.5 s: it blocked its process at {LINE}"
        assert answer.headers["Kne-Reason"] == answer.body.decode()
        await until(lambda: scaled.counts.crashes == 1)


async def test_what_breaks_at_import_is_told_by_what_was_held_for_it(tmp_path: Path) -> None:
    async with served(tmp_path, "import nowhere_at_all\n\nimport nowhere_at_all") as (_, ways):
        answer, took = await send(ways)
        assert answer.status == 503 and took < 15
        assert b"ModuleNotFoundError: No module named 'nowhere_at_all'" in answer.body
        assert b'functions/editor/agent.py", line 10' in answer.body


async def test_saved_code_holds_from_the_next_request_on_and_what_is_under_way_ends_in_peace(tmp_path: Path) -> None:
    async with served(tmp_path, "await asyncio.sleep(0.7)\n    raise ValueError('old')") as (scaled, ways):
        await send(ways)
        under_way = asyncio.create_task(send(ways))
        await until(lambda: scaled.in_flight == 1)
        file = tmp_path / "functions/editor/agent.py"
        file.write_text(AGENT.format(body="raise ValueError('new')"))
        os.utime(file, (time.time() + 2, time.time() + 2))
        scaled.renew()
        fresh, _ = await send(ways)
        old, _ = await under_way
        assert b"ValueError: old" in old.body and b"ValueError: new" in fresh.body
        await until(lambda: scaled.instances == 1)
        assert (scaled.counts.starts, scaled.counts.crashes) == (2, 0)
