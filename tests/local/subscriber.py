"""A subscriber whose answers a test decides, and a dispatcher that delivers to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn
from uuid import uuid4

import aiohttp
from aiohttp import web

from eventing import kafka
from eventing.envelope import Event, from_request, to_record
from eventing.local.dispatcher import Dispatcher
from eventing.local.functions import Functions
from eventing.local.resources import Resources
from eventing.local.sinks import Sinks

Answering = Callable[[Event], Awaitable[web.Response] | web.Response]


@dataclass
class Subscriber:
    """What arrived, in order; `answer` may be changed at any time."""

    url: str = ""
    answer: Answering = lambda _: web.Response(status=204)
    events: list[Event] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    busy: int = 0
    most_busy: int = 0

    async def take(self, request: web.Request) -> web.Response:
        event = from_request(request.headers, await request.read())
        self.events.append(event)
        self.headers.append(dict(request.headers))
        self.busy += 1
        self.most_busy = max(self.most_busy, self.busy)
        try:
            answer = self.answer(event)
            return answer if isinstance(answer, web.Response) else await answer
        finally:
            self.busy -= 1


@asynccontextmanager
async def subscribing() -> AsyncIterator[Subscriber]:
    subscriber = Subscriber()
    app = web.Application()
    app.router.add_post("/", subscriber.take)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    subscriber.url = f"http://127.0.0.1:{port}/"
    yield subscriber
    await runner.cleanup()


@asynccontextmanager
async def sinks(bootstrap: str) -> AsyncIterator[Sinks]:
    producer = kafka.Producer(bootstrap)
    async with aiohttp.ClientSession() as http:
        yield Sinks(Functions((), _nothing, 1), producer, http)
    await producer.close()


async def _nothing(_: object) -> NoReturn:
    raise AssertionError("no functions here")


@asynccontextmanager
async def dispatching(bootstrap: str, resources: Resources, grace_s: float = 0.0) -> AsyncIterator[Dispatcher]:
    """A dispatcher that runs, and is stopped at the end without much grace."""
    async with sinks(bootstrap) as ways:
        dispatcher = Dispatcher(bootstrap, resources, ways)
        task = asyncio.create_task(dispatcher.run())
        try:
            yield dispatcher
        finally:
            await dispatcher.stop(grace_s)
            await task


async def new_topic(bootstrap: str, partitions: int = 1) -> str:
    name = f"t{uuid4().hex[:8]}"
    await asyncio.to_thread(kafka.create_topics, bootstrap, [kafka.TopicSpec(name, partitions)])
    return name


async def produce(bootstrap: str, topic: str, *events: Event) -> None:
    producer = kafka.Producer(bootstrap)
    for one in events:
        headers, key, value = to_record(one)
        await producer.produce(topic, value, key, headers)
    await producer.close()


def delivered(dispatcher: Dispatcher) -> int:
    return sum(counts.delivered for counts in dispatcher.counts.values())
