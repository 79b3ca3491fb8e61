"""Reading the resources from YAML, and checking them against each other."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import available_timezones

import yaml
from croniter import croniter
from pydantic import BaseModel, ValidationError

from eventing.kafka import TopicSpec
from eventing.local import forms
from eventing.local.elsewhere import Services
from eventing.local.errors import ManifestError
from eventing.local.filters import FilterError, trigger_filter
from eventing.local.resources import Broker, Delivery, Function, KafkaSource, PingSource, Resources, Sink, Trigger
from eventing.project import PACKAGE

_F = TypeVar("_F", bound=BaseModel)
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_API: dict[str, tuple[str, type[BaseModel]]] = {
    "KafkaTopic": ("kafka.strimzi.io/v1", forms.TopicSpec),
    "Broker": ("eventing.knative.dev/v1", forms.BrokerSpec),
    "Trigger": ("eventing.knative.dev/v1", forms.TriggerSpec),
    "KafkaSource": ("sources.knative.dev/v1", forms.KafkaSourceSpec),
    "PingSource": ("sources.knative.dev/v1", forms.PingSourceSpec),
}
# What Kubernetes does with these has no counterpart here: func.yaml says what there is to say of a function.
_NOT_PLAYED = {"Namespace", "ServiceAccount", "NetworkPolicy", "EventPolicy", "Service", "Kustomization"}
_PART = r"(?:[*?]|(?:\d+|[A-Za-z]{3})(?:-(?:\d+|[A-Za-z]{3}))?)(?:/\d+)?"
_SCHEDULE = re.compile(rf"@[a-z]+|{_PART}(?:,{_PART})*(?: +{_PART}(?:,{_PART})*){{4,5}}")  # as PingSource's parser has it
_OF_A_SOURCE = Delivery(retry=10, delay_s=0.3)  # of a KafkaSource that names no delivery


def load(manifests: Path, functions: Path, brought: Sequence[Path] = (), services: Services | None = None) -> Resources:
    """Every resource of `manifests/*.yaml`, every function of `functions/*/func.yaml` and of the folders `brought`.

    Args:
        services: where the functions run, if it is not here; then none is among the resources.

    Raises:
        ManifestError: naming file, resource and field.
    """
    found = functions_of(functions, brought)
    return _Loader(list(_documents(manifests)), found, services).resources()


@dataclass(frozen=True)
class _Document:
    file: Path
    kind: str
    metadata: forms.Metadata
    spec: Any

    def refuse(self, where: str, why: str) -> ManifestError:
        return ManifestError(f"{self.file}: {self.kind} {self.metadata.namespace}/{self.metadata.name}: {where}: {why}")


def _documents(folder: Path) -> Iterator[_Document]:
    files = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not files:
        raise ManifestError(f"{folder} holds no *.yaml; `make manifests` generates them")
    for file in files:
        for number, content in enumerate(_parsed(file), 1):
            if not isinstance(content, dict) or content.get("kind") not in _NOT_PLAYED:
                yield _document(file, number, content)


def _parsed(file: Path) -> list[Any]:
    try:
        return [d for d in yaml.load_all(file.read_text(), _LOADER) if d is not None]
    except (yaml.YAMLError, OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{file}: no YAML: {error}") from error


def _document(file: Path, number: int, content: Any) -> _Document:
    where = f"{file}: document {number}"
    if not isinstance(content, dict):
        raise ManifestError(f"{where}: must be a resource with apiVersion, kind, metadata and spec")
    kind = content.get("kind")
    if kind not in _API:
        raise ManifestError(f"{where}: kind: {kind!r} is not known to the local platform; known are {', '.join(_API)}")
    api, form = _API[kind]
    metadata = _formed(forms.Metadata, content.get("metadata") or {}, f"{where}: {kind}", "metadata")
    where = f"{file}: {kind} {metadata.namespace}/{metadata.name}"
    if content.get("apiVersion") != api:
        raise ManifestError(f"{where}: apiVersion: must be {api}, got {content.get('apiVersion')!r}")
    return _Document(file, kind, metadata, _formed(form, content.get("spec") or {}, where, "spec"))


def _formed(form: type[_F], content: Any, where: str, under: str) -> _F:
    try:
        return form.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        path = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in first["loc"])
        why = "is not known to the local platform" if first["type"] == "extra_forbidden" else first["msg"]
        raise ManifestError(f"{where}: {under}{path}: {why}".replace(": .", ": ")) from None


def functions_of(folder: Path, brought: Sequence[Path] = ()) -> dict[str, Function]:
    """The functions of a folder and of those `brought`, by name.

    Raises:
        ManifestError: naming file and field.
    """
    found: dict[str, Function] = {}
    for file in [*sorted(folder.glob("*/func.yaml")), *(one / "func.yaml" for one in brought)]:
        content = next(iter(_parsed(file)), None)
        form = _formed(forms.FuncYaml, content, str(file), "")
        if form.name in found:
            raise ManifestError(f"{file}: name: a second function {form.name!r}")
        scale, limits = form.deploy.options.scale, form.deploy.options.resources.limits
        # `{{ secret:... }}` and the like are the cluster's; here the platform's own environment stands in.
        environ = {e.name: e.value for e in form.run.envs if e.name and e.value is not None and "{{" not in e.value}
        source = environ.get("FUNCTION_SOURCE", "")
        if source and not (folder.parent / source).exists() and (PACKAGE / source).is_file():
            environ["FUNCTION_SOURCE"] = str(PACKAGE / source)  # of an installed package, not copied into the project
        found[form.name] = Function(form.name, environ, limits.concurrency, scale.min, scale.max)
    return found


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


class _Loader:
    """Resolves what the documents refer to."""

    def __init__(self, documents: list[_Document], functions: Mapping[str, Function], services: Services | None) -> None:
        self._of = {kind: [d for d in documents if d.kind == kind] for kind in _API}
        self._functions = functions
        self._services = services
        self._unique(documents)
        self._topics = {t.name: t for t in map(self._topic, self._of["KafkaTopic"])}
        self._brokers = {(b.namespace, b.name): b for b in map(self._broker, self._of["Broker"])}
        self._defaults = {(d.metadata.namespace, d.metadata.name): d.spec.delivery for d in self._of["Broker"]}

    def resources(self) -> Resources:
        return Resources(
            tuple(self._topics.values()),
            tuple(self._brokers.values()),
            tuple(map(self._trigger, self._of["Trigger"])),
            # Without consumers, what a KafkaSource would read waits.
            tuple(source for d in self._of["KafkaSource"] if (source := self._kafka_source(d)) and d.spec.consumers),
            tuple(map(self._ping_source, self._of["PingSource"])),
            () if self._services else tuple(self._functions.values()),
        )

    def _unique(self, documents: list[_Document]) -> None:
        seen: dict[tuple[str, str, str], Path] = {}
        for d in documents:
            key = (d.kind, d.metadata.namespace, d.metadata.name)
            if key in seen:
                raise d.refuse("metadata.name", f"is there twice, first in {seen[key]}")
            seen[key] = d.file

    def _topic(self, d: _Document) -> TopicSpec:
        config = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in d.spec.config.items()}
        return TopicSpec(d.spec.topic_name or d.metadata.name, d.spec.partitions, d.spec.replicas, config)

    def _broker(self, d: _Document) -> Broker:
        where = f"metadata.annotations[{forms.EXTERNAL_TOPIC}]"
        topic = d.metadata.annotations.get(forms.EXTERNAL_TOPIC)
        if not topic:
            raise d.refuse(where, "is missing; name the Broker's topic")
        self._known_topic(d, where, topic)
        return Broker(d.metadata.namespace, d.metadata.name, topic)

    def _known_topic(self, d: _Document, where: str, topic: str) -> None:
        if topic not in self._topics:
            raise d.refuse(where, f"no KafkaTopic {topic!r}; there are {', '.join(sorted(self._topics)) or 'none'}")

    def _trigger(self, d: _Document) -> Trigger:
        namespace = d.metadata.namespace
        broker = self._the_broker(d, "spec.broker", namespace, d.spec.broker)
        order = d.metadata.annotations.get(forms.DELIVERY_ORDER, "unordered")
        if order not in ("ordered", "unordered"):
            raise d.refuse(f"metadata.annotations[{forms.DELIVERY_ORDER}]", f"must be ordered or unordered, got {order!r}")
        try:
            takes = trigger_filter(d.spec.filter.attributes if d.spec.filter else None, d.spec.filters)
        except FilterError as error:
            raise d.refuse(f"spec.{error.where}", error.why) from None
        delivery = self._delivery(d, d.spec.delivery or self._defaults[namespace, broker.name])
        sink = self._sink(d, "spec.subscriber", d.spec.subscriber)
        return Trigger(namespace, d.metadata.name, broker, takes, sink, delivery, order == "ordered")

    def _kafka_source(self, d: _Document) -> KafkaSource:
        for n, topic in enumerate(d.spec.topics):
            self._known_topic(d, f"spec.topics[{n}]", topic)
        sink = self._sink(d, "spec.sink", d.spec.sink)
        if sink.broker and sink.broker.topic in d.spec.topics:
            raise d.refuse("spec.sink", f"a source from topic {sink.broker.topic} into its own Broker loops for ever")
        group = d.spec.consumer_group or f"knative-kafka-source-{d.metadata.namespace}-{d.metadata.name}"
        return KafkaSource(
            d.metadata.namespace,
            d.metadata.name,
            tuple(d.spec.topics),
            group,
            sink,
            self._delivery(d, d.spec.delivery) if d.spec.delivery else _OF_A_SOURCE,
            d.spec.ordering == "ordered",
            d.spec.initial_offset == "latest",
        )

    def _ping_source(self, d: _Document) -> PingSource:
        s = d.spec
        if not _SCHEDULE.fullmatch(s.schedule) or not croniter.is_valid(s.schedule, second_at_beginning=True):
            raise d.refuse("spec.schedule", f"must be a cron schedule such as '*/5 * * * *', got {s.schedule!r}")
        if s.timezone and s.timezone not in available_timezones():
            raise d.refuse("spec.timezone", f"must be a time zone such as Europe/Berlin, got {s.timezone!r}")
        if s.data and s.content_type == "application/json" and not _is_object(s.data):
            raise d.refuse("spec.data", f"must be a JSON object, as spec.contentType is {s.content_type}; got {s.data!r}")
        sink = self._sink(d, "spec.sink", s.sink)
        return PingSource(d.metadata.namespace, d.metadata.name, s.schedule, sink, s.timezone, s.content_type, s.data)

    def _delivery(self, d: _Document, form: forms.Delivery | None) -> Delivery:
        if form is None:
            return Delivery()
        dead = form.dead_letter_sink
        return Delivery(
            form.retry,
            form.backoff_policy == "linear",
            form.backoff_delay.total_seconds(),
            form.timeout.total_seconds(),
            self._sink(d, "spec.delivery.deadLetterSink", dead) if dead else None,
        )

    def _sink(self, d: _Document, where: str, to: forms.Destination) -> Sink:
        if to.ref is None:
            return Sink(uri=to.uri or "")
        if to.ref.kind == "Broker":
            broker = self._the_broker(d, f"{where}.ref.name", to.ref.namespace or d.metadata.namespace, to.ref.name)
            return Sink(broker=broker)
        if to.ref.name not in self._functions:
            known = ", ".join(sorted(self._functions)) or "none"
            raise d.refuse(f"{where}.ref.name", f"no function {to.ref.name!r} (functions/*/func.yaml); there are {known}")
        if self._services:
            return self._services.sink(to.ref.name, to.uri or "")
        return Sink(function=to.ref.name, uri=to.uri or "")

    def _the_broker(self, d: _Document, where: str, namespace: str, name: str) -> Broker:
        if (namespace, name) not in self._brokers:
            known = ", ".join(sorted(n for ns, n in self._brokers if ns == namespace)) or "none"
            raise d.refuse(where, f"no Broker {name!r} in namespace {namespace}; there are {known}")
        return self._brokers[namespace, name]
