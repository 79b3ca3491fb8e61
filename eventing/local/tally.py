"""What function processes counted, over all that ever ran: a process vanishes, its counts do not."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import aiohttp
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from eventing.local.instance import Instance

_LIMIT = aiohttp.ClientTimeout(total=2)
_ADD_UP = ("counter", "histogram")
Sample = tuple[str, tuple[tuple[str, str], ...]]  # name and labels


@dataclass
class _Family:
    kind: str
    told: str
    values: dict[Sample, float] = field(default_factory=dict)


Counted = dict[str, _Family]


class Tally(Collector):
    """Asks processes for their counters: those that run when it is asked, each other one before it was stopped.

    What a process counted between the last question and its sudden death is lost.
    """

    def __init__(self, http: aiohttp.ClientSession) -> None:
        self._http = http
        self._gone: Counted = {}
        self._last: dict[Instance, Counted] = {}

    async def ask(self, instances: Iterable[Instance]) -> None:
        """Ask what they have counted by now."""
        await asyncio.gather(*(self._ask(instance) for instance in instances))

    async def bid_farewell(self, instance: Instance) -> None:
        """Ask a process a last time, and keep what it counted."""
        await self._ask(instance)
        if (counted := self._last.pop(instance, None)) is not None:
            _add(self._gone, counted)

    async def _ask(self, instance: Instance) -> None:
        with contextlib.suppress(aiohttp.ClientError, TimeoutError, ValueError):
            async with self._http.get(f"{instance.url}/metrics", timeout=_LIMIT) as answer:
                if answer.status == 200:
                    self._last[instance] = counted(await answer.text())

    def collect(self) -> Iterator[Metric]:
        """The sums, as Prometheus has them."""
        total: Counted = {}
        for part in (self._gone, *self._last.values()):
            _add(total, part)
        for name, family in total.items():
            metric = Metric(name, family.told, family.kind)
            for (sample, labels), value in family.values.items():
                metric.add_sample(sample, dict(labels), value)
            yield metric


def counted(text: str) -> Counted:
    """Counters and histograms of a page of metrics; anything else does not add up.

    Raises:
        ValueError: when it is no such page.
    """
    found: Counted = {}
    for family in text_string_to_metric_families(text):
        if family.type in _ADD_UP:
            values = {(s.name, tuple(sorted(s.labels.items()))): s.value for s in family.samples}
            found[family.name] = _Family(family.type, family.documentation, values)
    return found


def _add(total: Counted, part: Counted) -> None:
    for name, family in part.items():
        values = total.setdefault(name, _Family(family.kind, family.told)).values
        for sample, value in family.values.items():
            values[sample] = values.get(sample, 0.0) + value
