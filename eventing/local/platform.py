"""The local platform, composed: topics, ingress, dispatcher, functions and the gateway's port, until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace

import aiohttp

from eventing import kafka
from eventing.local import gateway_proxy, ingress, instance, scheduler, touching
from eventing.local.config import Config, Progress
from eventing.local.dispatcher import Dispatcher
from eventing.local.errors import ServiceError
from eventing.local.forkserver import ForkServer
from eventing.local.functions import Functions
from eventing.local.gateway_proxy import GatewayProxy, ServiceProxy
from eventing.local.instance import GRACE_S, HASTY_S
from eventing.local.listening import Listener
from eventing.local.loading import load
from eventing.local.mailbox import Mailbox
from eventing.local.reloading import reloading
from eventing.local.resources import Resources
from eventing.local.sinks import Sinks
from eventing.local.status import Status
from eventing.local.tally import Tally

GATEWAY = "gateway"
_log = logging.getLogger(__name__)
_PORT = "platform"


@dataclass(frozen=True)
class _Parts:
    resources: Resources
    functions: Functions
    forks: ForkServer
    producer: kafka.Producer
    http: aiohttp.ClientSession
    tally: Tally
    problems: list[str] = field(default_factory=list)  # of the project's files, since they were changed
    blocking: dict[str, str] = field(default_factory=dict)  # by function, what keeps its process from all else


async def run(config: Config, progress: Progress, stop: asyncio.Event) -> None:
    """Run the platform on a Kafka that is up, until `stop` is set; then drain and leave nothing behind.

    Raises:
        ManifestError: when a resource cannot be honoured.
        KafkaUnavailableError: when topics cannot be created, or a consumer can go on no more.
        ServiceError: when a port is taken.
    """
    resources = load(config.manifests, config.project / "functions", config.brought, config.services)
    for name in await asyncio.to_thread(instance.end_leftovers, config.state):
        progress(_PORT, f"ended function process {name}, left by a platform that was killed", None)
    topics = replicated(resources.topics, config.brokers)
    made = await asyncio.to_thread(kafka.create_topics, config.bootstrap, topics)
    if made:
        progress(_PORT, f"created {len(made)} topics", None)
    async with AsyncExitStack() as stack:
        await _mailbox(config, stack)
        parts = await stack.enter_async_context(_parts(config, resources))
        dispatcher = await _listen(config, parts, stack, progress)
        parts.functions.keep_min_scale()
        await stack.enter_async_context(reloading(config, parts.functions, parts.forks, progress, parts.problems))
        listening = asyncio.ensure_future(Listener(parts.functions, config.state, progress, parts.blocking).run())
        stack.callback(listening.cancel)
        await _until(stop, dispatcher, progress, config)


def replicated(topics: Iterable[kafka.TopicSpec], brokers: int) -> list[kafka.TopicSpec]:
    """The topics as this many brokers keep them: a copy on each, and a record acknowledged once two have it."""
    in_sync = {"min.insync.replicas": str(min(2, brokers))}
    return [replace(one, replicas=brokers, config={**one.config, **in_sync}) for one in topics]


@asynccontextmanager
async def _parts(config: Config, resources: Resources) -> AsyncIterator[_Parts]:
    # uvicorn closes an idle connection after 5 s; a shorter keep-alive here never meets it in that moment.
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=2)
    producer = kafka.Producer(config.bootstrap)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(producer.close)
        timeout = aiohttp.ClientTimeout(total=None)
        http = await stack.enter_async_context(aiohttp.ClientSession(connector=connector, timeout=timeout))
        forks, start = instance.starter(config, http)
        stack.push_async_callback(forks.close)
        tally = Tally(http)
        functions = Functions(resources.functions, start, config.idle_seconds, tally.bid_farewell)
        yield _Parts(resources, functions, forks, producer, http, tally)


async def _listen(config: Config, parts: _Parts, stack: AsyncExitStack, progress: Progress) -> Dispatcher:
    """Open the ports; they close in the reverse order, so that functions can publish until they have ended."""
    sinks = Sinks(parts.functions, parts.producer, parts.http)
    dispatcher = Dispatcher(config.bootstrap, parts.resources, sinks)
    stack.push_async_callback(dispatcher.stop, 0.0)
    status = Status(config, parts.functions, dispatcher, parts.tally, parts.problems, parts.blocking)
    beside = [*status.routes(), *touching.routes(parts.functions)]
    app = ingress.Ingress(parts.resources.brokers, parts.producer, beside)
    port = config.ports.platform
    await _serve(ingress.serving(app, port), port, "the Brokers' ingress", stack)
    stack.push_async_callback(_close, parts.functions, config, progress)
    gateway: GatewayProxy | ServiceProxy | None = None
    if config.services:
        gateway = ServiceProxy(config.services.sink(GATEWAY), parts.http)
    elif GATEWAY in parts.functions:
        gateway = GatewayProxy(parts.functions[GATEWAY], parts.http)
    if gateway:
        port = config.ports.gateway
        await _serve(gateway_proxy.serving(gateway.through, port), port, "the gateway", stack)
    return dispatcher


async def _close(functions: Functions, config: Config, progress: Progress) -> None:
    """End all functions; steps that are still under way get the time to store an answer that is being bought, no other."""
    buying = await asyncio.to_thread(scheduler.generating, config)
    if buying:
        progress(_PORT, "stopping: a model is at work on a call, whose answer is waited for half a minute", None)
    await functions.close(grace_s=GRACE_S if buying else HASTY_S)


async def _mailbox(config: Config, stack: AsyncExitStack) -> None:
    mailbox = Mailbox(config.mailbox, config.ports.smtp)
    await asyncio.to_thread(mailbox.start)
    stack.push_async_callback(asyncio.to_thread, mailbox.stop)


async def _serve(serving: AbstractAsyncContextManager[None], port: int, what: str, stack: AsyncExitStack) -> None:
    try:
        await stack.enter_async_context(serving)
    except OSError as error:
        raise ServiceError(f"{what} cannot listen on 127.0.0.1:{port}: {error.strerror or error}") from error


async def _until(stop: asyncio.Event, dispatcher: Dispatcher, progress: Progress, config: Config) -> None:
    dispatching = asyncio.create_task(dispatcher.run())
    stopped = asyncio.create_task(stop.wait())
    progress(_PORT, f"ready: http://127.0.0.1:{config.ports.gateway}", 1.0)
    try:
        await asyncio.wait([dispatching, stopped], return_when=asyncio.FIRST_COMPLETED)
        if dispatching.done():
            await dispatching
    finally:
        stopped.cancel()
        if dispatcher.in_flight:
            progress(_PORT, f"stopping: deliveries under way ({dispatcher.in_flight}) have ten seconds", None)
        await dispatcher.stop()
        with contextlib.suppress(kafka.KafkaUnavailableError):
            await dispatching
