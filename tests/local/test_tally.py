"""What processes counted is added up, whether they run, were stopped or were killed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from prometheus_client import CollectorRegistry, generate_latest

from eventing.local.tally import Tally


@dataclass(eq=False)
class Counting:
    """Stands for a process: `eggs` is its counter."""

    eggs: int
    status: int = 200
    url: str = ""
    text: str = '# TYPE eggs_total counter\n# HELP eggs_total Eggs\neggs_total{{hen="Ada"}} {}\n# TYPE temperature gauge\ntemperature 3\n'
    runner: web.AppRunner | None = field(default=None)

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(text=self.text.format(self.eggs), status=self.status)


@asynccontextmanager
async def running(*processes: Counting) -> AsyncIterator[Tally]:
    for process in processes:
        app = web.Application()
        app.router.add_get("/metrics", process.metrics)
        process.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await process.runner.setup()
        await web.TCPSite(process.runner, "127.0.0.1", 0).start()
        process.url = f"http://127.0.0.1:{process.runner.addresses[0][1]}"
    async with aiohttp.ClientSession() as http:
        yield Tally(http)
    for process in processes:
        await process.runner.cleanup()


def eggs(tally: Tally) -> float:
    registry = CollectorRegistry()
    registry.register(tally)
    assert b"temperature" not in generate_latest(registry)
    return registry.get_sample_value("eggs_total", {"hen": "Ada"}) or 0


async def test_those_that_run_and_those_that_were_stopped_add_up():
    first, second = Counting(2), Counting(3)
    async with running(first, second) as tally:
        await tally.ask([first, second])
        assert eggs(tally) == 5
        first.eggs = 10
        await tally.ask([first])
        assert eggs(tally) == 13
        await tally.bid_farewell(first)
        await tally.ask([second])
        assert eggs(tally) == 13
        await tally.bid_farewell(second)
        assert eggs(tally) == 13


async def test_of_one_that_was_killed_the_last_answer_counts():
    killed = Counting(4)
    async with running(killed) as tally:
        await tally.ask([killed])
        await killed.runner.cleanup()
        await tally.bid_farewell(killed)
        assert eggs(tally) == 4


@pytest.mark.parametrize("text", ["<html>{}", "eggs_total {{", ""])
async def test_what_is_no_page_of_metrics_counts_nothing(text):
    strange, absent = Counting(1, text=text), Counting(1, status=500)
    async with running(strange, absent) as tally:
        await tally.bid_farewell(strange)
        await tally.bid_farewell(absent)
        assert eggs(tally) == 0
