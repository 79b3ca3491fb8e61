"""The Knative resources and functions that the local platform honours, checked and resolved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from eventing.kafka import TopicSpec
from eventing.local.filters import Filter
from eventing.local.forms import LONGEST_DELIVERY_S


@dataclass(frozen=True)
class Broker:
    namespace: str
    name: str
    topic: str


@dataclass(frozen=True)
class Sink:
    """Where events go: a function (and a path in it), a Broker, or a URL (and the `Host` that is asked for there)."""

    function: str | None = None
    broker: Broker | None = None
    uri: str = ""
    host: str = ""

    @property
    def headers(self) -> dict[str, str]:
        return {"Host": self.host} if self.host else {}

    def __str__(self) -> str:
        if self.broker:
            return f"broker {self.broker.name}"
        return f"{self.function}{self.uri}" if self.function else f"{self.uri} ({self.host})" if self.host else self.uri


@dataclass(frozen=True)
class Delivery:
    """How an event is delivered; `retried` are the codes that are tried again, None being Eventing's own."""

    retry: int = 0
    linear: bool = False
    delay_s: float = 0.0
    timeout_s: float = LONGEST_DELIVERY_S
    dead_letter: Sink | None = None
    retried: frozenset[int] | None = None

    def backoff(self, attempt: int) -> float:
        """Seconds to wait before the n-th retry (1, 2, ...)."""
        return self.delay_s * (attempt if self.linear else 2**attempt)


@dataclass(frozen=True)
class Trigger:
    namespace: str
    name: str
    broker: Broker
    takes: Filter
    sink: Sink
    delivery: Delivery
    ordered: bool = False

    @property
    def group(self) -> str:
        return f"knative-trigger-{self.namespace}-{self.name}"


@dataclass(frozen=True)
class KafkaSource:
    namespace: str
    name: str
    topics: tuple[str, ...]
    group: str
    sink: Sink
    delivery: Delivery
    ordered: bool = True
    from_latest: bool = True


@dataclass(frozen=True)
class PingSource:
    namespace: str
    name: str
    schedule: str
    sink: Sink
    timezone: str | None = None
    content_type: str | None = None
    data: str | None = None


@dataclass(frozen=True)
class Function:
    """A function as Serving would run it; a `max_scale` or `concurrency` of 0 is no limit."""

    name: str
    environ: Mapping[str, str] = field(default_factory=dict)
    concurrency: int = 0
    min_scale: int = 0
    max_scale: int = 0

    @property
    def time_limit_s(self) -> float:
        """Serving's timeoutSeconds: what an agent has, and a little more in which its process can say that it is over."""
        limit = float(self.environ.get("TORPOR_TIME_LIMIT_S") or 300)
        return limit + min(5.0, limit / 2)


@dataclass(frozen=True)
class Resources:
    topics: tuple[TopicSpec, ...] = ()
    brokers: tuple[Broker, ...] = ()
    triggers: tuple[Trigger, ...] = ()
    sources: tuple[KafkaSource, ...] = ()
    pings: tuple[PingSource, ...] = ()
    functions: tuple[Function, ...] = ()
