"""One function a kind of resource; each returns the resource as the API server takes it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from eventing.publishing import broker_of
from eventing.workflow import Step, Workflow, delivery_timeout

Resource = dict[str, Any]

NAMESPACE = "torpor"
RETENTION_MS = 168 * 3600 * 1000
_SERVICE = {"apiVersion": "serving.knative.dev/v1", "kind": "Service"}
_BROKER = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker"}


def kubernetes_name(name: str) -> str:
    """`research_assistant` -> `research-assistant`: one word, written two ways."""
    return name.replace("_", "-")


def iso_duration(value: timedelta) -> str:
    """ISO 8601, as Eventing writes durations: `PT330S`."""
    seconds = value.total_seconds()
    return f"PT{int(seconds)}S" if seconds == int(seconds) else f"PT{seconds:g}S"


def _metadata(name: str, workflow: Workflow) -> Resource:
    labels = {"app.kubernetes.io/part-of": "torpor", "torpor.dev/workflow": workflow.name}
    return {"name": kubernetes_name(name), "namespace": NAMESPACE, "labels": labels}


def topic(workflow: Workflow, name: str, compacted: bool = False) -> Resource:
    """A Strimzi KafkaTopic; replication and min.insync.replicas are the broker's defaults."""
    config = {"cleanup.policy": "compact"} if compacted else {"cleanup.policy": "delete", "retention.ms": RETENTION_MS}
    return {
        "apiVersion": "kafka.strimzi.io/v1",
        "kind": "KafkaTopic",
        "metadata": {
            **_metadata(name, workflow),
            "labels": {**_metadata(name, workflow)["labels"], "strimzi.io/cluster": "torpor"},
        },
        "spec": {"topicName": name, "partitions": workflow.partitions, "config": config},
    }


def broker(workflow: Workflow, name: str) -> Resource:
    """A Kafka-class Broker on the topic of its own name."""
    annotations = {"eventing.knative.dev/broker.class": "Kafka", "kafka.eventing.knative.dev/external.topic": name}
    metadata = {**_metadata(name, workflow), "annotations": annotations}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "name": "kafka-broker-config", "namespace": "knative-eventing"}
    return {**_BROKER, "metadata": metadata, "spec": {"config": config}}


def _delivery(workflow: Workflow, timeout: timedelta, dead_letters: str) -> Resource:
    return {
        "retry": workflow.delivery.retries,
        "backoffPolicy": workflow.delivery.backoff,
        "backoffDelay": iso_duration(workflow.delivery.delay),
        "timeout": iso_duration(timeout),
        "deadLetterSink": {"ref": {**_BROKER, "name": kubernetes_name(dead_letters), "namespace": NAMESPACE}},
    }


def trigger(workflow: Workflow, step: Step, event: str) -> Resource:
    """The Trigger by which a step takes one event: unordered, retried linearly, with a dead-letter sink."""
    return {
        "apiVersion": "eventing.knative.dev/v1",
        "kind": "Trigger",
        "metadata": {
            **_metadata(f"{step.name}-{event}", workflow),
            "annotations": {"kafka.eventing.knative.dev/delivery.order": "unordered"},
        },
        "spec": {
            "broker": broker_of(event),
            "filters": [{"exact": {"type": event}}],
            "subscriber": {"ref": {**_SERVICE, "name": kubernetes_name(step.agent), "namespace": NAMESPACE}},
            "delivery": _delivery(workflow, delivery_timeout(step), workflow.dead_letters),
        },
    }


def kafka_source(workflow: Workflow, name: str, topics: list[str], agent: str, path: str, dead_letters: str) -> Resource:
    """An ordered KafkaSource from the earliest offset."""
    sink: Resource = {"ref": {**_SERVICE, "name": kubernetes_name(agent), "namespace": NAMESPACE}}
    return {
        "apiVersion": "sources.knative.dev/v1",
        "kind": "KafkaSource",
        "metadata": _metadata(name, workflow),
        "spec": {
            "bootstrapServers": ["torpor-kafka-bootstrap.kafka.svc.cluster.local:9092"],
            "topics": topics,
            "consumerGroup": f"{NAMESPACE}-{kubernetes_name(name)}",
            "consumers": 1,
            "initialOffset": "earliest",
            "ordering": "ordered",
            "sink": {**sink, **({"uri": path} if path else {})},
            "delivery": _delivery(workflow, timedelta(seconds=90), dead_letters),
        },
    }


def ping_source(workflow: Workflow, name: str, every: timedelta, agent: str, path: str) -> Resource:
    """A PingSource, so that nobody has to be awake to notice time passing."""
    minutes = max(1, round(every.total_seconds() / 60))
    return {
        "apiVersion": "sources.knative.dev/v1",
        "kind": "PingSource",
        "metadata": _metadata(name, workflow),
        "spec": {
            "schedule": f"*/{minutes} * * * *",
            "contentType": "application/json",
            "data": '{"tick": true}',
            "sink": {"ref": {**_SERVICE, "name": kubernetes_name(agent), "namespace": NAMESPACE}, "uri": path},
        },
    }
