"""How the platform fares: what `torpor ps` shows, and the same as Prometheus metrics, with what all agents counted."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from eventing import kafka
from eventing.local.config import Config
from eventing.local.dispatcher import Dispatcher
from eventing.local.functions import Functions
from eventing.local.tally import Tally

DEAD_LETTERS = "agent_errors"


class Status:
    """Reads the platform's parts; counts are since the platform's start, lag and dead letters as they lie in Kafka."""

    def __init__(
        self,
        config: Config,
        functions: Functions,
        dispatcher: Dispatcher,
        tally: Tally,
        problems: Sequence[str],
        blocking: Mapping[str, str],
    ) -> None:
        self._tally, self._problems, self._blocking = tally, problems, blocking
        self._config = config
        self._functions = functions
        self._dispatcher = dispatcher

    def routes(self) -> list[BaseRoute]:
        return [Route("/platform/ps", self.ps), Route("/platform/metrics", self.metrics)]

    async def ps(self, _: Request) -> Response:
        return JSONResponse(await self.snapshot())

    async def metrics(self, _: Request) -> Response:
        registry = CollectorRegistry()
        registry.register(_Families(await self.snapshot()))
        await self._tally.ask(instance for scaled in self._functions.all() for instance in scaled.serving)
        registry.register(self._tally)
        return Response(generate_latest(registry), headers={"Content-Type": "text/plain; version=0.0.4"})

    async def snapshot(self) -> dict[str, Any]:
        """Functions, deliveries (Triggers, sources, pings), dead letters, and what is wrong with the project's files.

        None is what is not known, as without Kafka; for a ping, nothing ever waits.
        """
        letters: int | None = None
        with contextlib.suppress(kafka.KafkaUnavailableError):
            letters = (await asyncio.to_thread(kafka.sizes, self._config.bootstrap, [DEAD_LETTERS]))[DEAD_LETTERS]
        lag = await self._dispatcher.lags()
        deliveries = {
            name: dataclasses.asdict(counts) | {"lag": lag.get(name, 0)} for name, counts in self._dispatcher.counts.items()
        }
        return {
            "project": str(self._config.project),
            "store": self._config.store,
            "mailbox": str(self._config.mailbox),
            "functions": {s.function.name: self._function(s.function.name) for s in self._functions.all()},
            "deliveries": deliveries,
            "in_flight": self._dispatcher.in_flight,
            "dead_letters": letters,
            "problems": list(self._problems),
            "dropped": sum(d["dropped"] + d["not_events"] for d in deliveries.values()),
        }

    def _function(self, name: str) -> dict[str, Any]:
        scaled = self._functions[name]
        told = {"state": scaled.state, "instances": scaled.instances, "in_flight": scaled.in_flight}
        told["blocking"] = self._blocking.get(name, "")
        return told | dataclasses.asdict(scaled.counts)


class _Families(Collector):
    def __init__(self, snapshot: dict[str, Any]) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        functions, deliveries = self._snapshot["functions"], self._snapshot["deliveries"]
        yield from _gauges("torpor_function", "function", functions, ("instances", "in_flight", "cold_start_s"))
        yield from _counters("torpor_function", "function", functions, ("wakes", "starts", "crashes", "failed_starts"))
        yield from _gauges("torpor_delivery", "name", deliveries, ("lag", "retrying"))
        events = ("received", "filtered", "delivered", "retries", "dead_lettered", "dropped", "not_events")
        yield from _counters("torpor_delivery", "name", deliveries, events)
        if self._snapshot["dead_letters"] is not None:
            yield GaugeMetricFamily("torpor_dead_letters", f"records in {DEAD_LETTERS}", self._snapshot["dead_letters"])


def _gauges(prefix: str, label: str, rows: dict[str, dict[str, Any]], names: tuple[str, ...]) -> Iterator[Metric]:
    for name in names:
        unit = name.removesuffix("_s") + "_seconds" if name.endswith("_s") else name
        family = GaugeMetricFamily(f"{prefix}_{unit}", f"{name} of each {label}", labels=[label])
        for key, row in rows.items():
            if row[name] is not None:
                family.add_metric([key], row[name])
        yield family


def _counters(prefix: str, label: str, rows: dict[str, dict[str, Any]], names: tuple[str, ...]) -> Iterator[Metric]:
    for name in names:
        family = CounterMetricFamily(f"{prefix}_{name}", f"{name} of each {label} since the start", labels=[label])
        for key, row in rows.items():
            family.add_metric([key], row[name])
        yield family
