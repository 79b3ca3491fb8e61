"""What the YAML of each kind of resource may hold, as far as the local platform honours it; anything else is refused."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

LONGEST_DELIVERY_S = 600.0  # Eventing's largest delivery time-out, and its default
EXTERNAL_TOPIC = "kafka.eventing.knative.dev/external.topic"
DELIVERY_ORDER = "kafka.eventing.knative.dev/delivery.order"


def _iso(value: Any) -> Any:
    if not isinstance(value, str) or not value.startswith("P"):
        raise ValueError(f"must be an ISO 8601 duration such as PT2S, got {value!r}")
    return value


Seconds = Annotated[timedelta, BeforeValidator(_iso)]


class _Form(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class _Loose(_Form):
    """A form whose further fields say nothing to the local platform."""

    model_config = ConfigDict(extra="ignore")


class Metadata(_Loose):
    name: str = Field(min_length=1)
    namespace: str = "default"
    annotations: dict[str, str] = {}


class Ref(_Form):
    kind: Literal["Service", "Broker"]
    name: str
    namespace: str | None = None
    api_version: str | None = None


class Destination(_Form):
    ref: Ref | None = None
    uri: str | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Destination:
        if self.ref is None and not (self.uri or "").startswith(("http://", "https://")):
            raise ValueError("needs a ref, or an absolute uri")
        return self


class Delivery(_Form):
    retry: int = Field(0, ge=0)
    backoff_policy: Literal["linear", "exponential"] = "exponential"
    backoff_delay: Seconds = timedelta(milliseconds=200)
    timeout: Annotated[Seconds, Field(gt=timedelta(0), le=timedelta(seconds=LONGEST_DELIVERY_S))] = timedelta(
        seconds=LONGEST_DELIVERY_S
    )
    dead_letter_sink: Destination | None = None


class TopicSpec(_Form):
    topic_name: str | None = None
    partitions: int = Field(1, ge=1)
    replicas: int = Field(1, ge=1)
    config: dict[str, str | int | float | bool] = {}


class BrokerSpec(_Form):
    config: dict[str, Any] = {}
    delivery: Delivery | None = None


class _LegacyFilter(_Form):
    attributes: dict[str, Any] = {}


class TriggerSpec(_Form):
    broker: str
    filter: _LegacyFilter | None = None
    filters: list[Any] = []
    subscriber: Destination
    delivery: Delivery | None = None


class KafkaSourceSpec(_Form):
    bootstrap_servers: list[str] = Field(min_length=1)
    topics: list[str] = Field(min_length=1)
    consumer_group: str | None = None
    consumers: int = Field(1, ge=0)
    initial_offset: Literal["earliest", "latest"] = "latest"
    ordering: Literal["ordered", "unordered"] = "ordered"
    sink: Destination
    delivery: Delivery | None = None


class PingSourceSpec(_Form):
    schedule: str
    timezone: str | None = None
    content_type: str | None = None
    data: str | None = None
    sink: Destination


class _Scale(_Loose):
    min: int = Field(0, ge=0)
    max: int = Field(0, ge=0)


class _Limits(_Loose):
    concurrency: int = Field(0, ge=0)


class _Resources(_Loose):
    limits: _Limits = _Limits(concurrency=0)


class _Options(_Loose):
    scale: _Scale = _Scale(min=0, max=0)
    resources: _Resources = _Resources()


class _Deploy(_Loose):
    options: _Options = _Options()


class _Env(_Loose):
    name: str | None = None
    value: str | None = None


class _Run(_Loose):
    envs: list[_Env] = []


class FuncYaml(_Loose):
    """The part of a func.yaml that says how a function runs."""

    name: str = Field(min_length=1)
    run: _Run = _Run()
    deploy: _Deploy = _Deploy()
