"""Resources from YAML: what is taken, and what is refused with file, resource and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from eventing.local.elsewhere import Services
from eventing.local.errors import ManifestError
from eventing.local.loading import load
from eventing.local.resources import Delivery, Resources
from tests.local.support import broker, service, to_broker, topic, trigger, write_function, write_manifests

GENERATED = Path(__file__).parents[2] / "eventing/manifests/research"


def loaded(tmp_path: Path, *resources: dict[str, Any]) -> Resources:
    write_function(tmp_path, "agent", "", scale={"min": 1, "max": 3}, concurrency=4)
    manifests = write_manifests(tmp_path / "manifests", topic("things", 3), broker("things"), *resources)
    return load(manifests, tmp_path / "functions")


def source(**spec: Any) -> dict[str, Any]:
    metadata = {"name": "s", "namespace": "torpor"}
    spec = {"bootstrapServers": ["kafka:9092"], "topics": ["things"], "sink": service("agent"), **spec}
    return {"apiVersion": "sources.knative.dev/v1", "kind": "KafkaSource", "metadata": metadata, "spec": spec}


def ping(**spec: Any) -> dict[str, Any]:
    spec = {"schedule": "*/5 * * * *", "sink": service("agent"), **spec}
    return {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "metadata": {"name": "p"}, "spec": spec}


def test_the_generated_manifests_are_taken_whole(tmp_path: Path) -> None:
    agents = "planner research-assistant validator aggregator formatter notifier tracker gateway"
    for name in agents.split():
        write_function(tmp_path, name, "")
    found = load(GENERATED, tmp_path / "functions")
    assert {t.name for t in found.topics} >= {"research_requests", "agent_errors", "workflow_state"}
    assert all(t.delivery.dead_letter and t.delivery.retry == 40 for t in found.triggers)
    assert [s.ordered for s in found.sources] == [True, True]
    groups = [one.group for one in (*found.triggers, *found.sources)]
    assert len(set(groups)) == len(groups)


def test_a_trigger_is_resolved(tmp_path: Path) -> None:
    delivery = {
        "retry": 3,
        "backoffPolicy": "linear",
        "backoffDelay": "PT0.5S",
        "timeout": "PT1M",
        "deadLetterSink": to_broker("things"),
    }
    annotations = {"kafka.eventing.knative.dev/delivery.order": "ordered"}
    spec = {"subscriber": {**service("agent"), "uri": "/path"}, "delivery": delivery, "annotations": annotations}
    (found,) = loaded(tmp_path, trigger("t", "things", **spec)).triggers
    assert (found.group, found.broker.topic, found.ordered) == ("knative-trigger-torpor-t", "things", True)
    assert (found.sink.function, found.sink.uri) == ("agent", "/path")
    assert [found.delivery.backoff(n) for n in (1, 2, 3)] == [0.5, 1.0, 1.5]
    assert (found.delivery.timeout_s, found.delivery.dead_letter and str(found.delivery.dead_letter)) == (
        60,
        "broker things",
    )


def test_back_off_is_exponential_unless_it_is_linear() -> None:
    assert [Delivery(delay_s=1).backoff(n) for n in (1, 2, 3)] == [2, 4, 8]


def test_retries_without_a_delay_are_a_fifth_of_a_second_apart_and_then_twice_that(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path, trigger("t", "things", service("agent"), delivery={"retry": 3})).triggers
    assert [found.delivery.backoff(n) for n in (1, 2, 3)] == [0.4, 0.8, 1.6]


def test_a_delivery_with_only_a_dead_letter_sink_means_no_retry_and_ten_minutes_to_answer(tmp_path: Path) -> None:
    delivery = {"deadLetterSink": to_broker("things")}
    it, other = trigger("t", "things", service("agent"), delivery=delivery), source(delivery=delivery)
    found = loaded(tmp_path, it, other)
    assert [(one.delivery.retry, one.delivery.timeout_s) for one in (*found.triggers, *found.sources)] == [(0, 600)] * 2


def test_a_source_that_names_no_delivery_is_tried_ten_times_again_and_a_trigger_never(tmp_path: Path) -> None:
    found = loaded(tmp_path, trigger("t", "things", service("agent")), source())
    (of_trigger,), (of_source,) = found.triggers, found.sources
    assert (of_trigger.delivery.retry, of_source.delivery.retry) == (0, 10)
    assert [of_source.delivery.backoff(n) for n in (1, 2, 3)] == [0.6, 1.2, 2.4]


def test_a_source_is_ordered_from_latest_unless_it_says_otherwise_and_without_consumers_it_reads_nothing(
    tmp_path: Path,
) -> None:
    (found,) = loaded(tmp_path, source()).sources
    assert (found.ordered, found.from_latest, found.group) == (True, True, "knative-kafka-source-torpor-s")
    (found,) = loaded(tmp_path, source(ordering="unordered", initialOffset="earliest", consumerGroup="g")).sources
    assert (found.ordered, found.from_latest, found.group) == (False, False, "g")
    assert loaded(tmp_path, source(consumers=0)).sources == ()


def test_a_function_is_scaled_as_its_func_yaml_says(tmp_path: Path) -> None:
    (found,) = loaded(tmp_path).functions
    assert (found.name, found.min_scale, found.max_scale, found.concurrency) == ("agent", 1, 3, 4)


def test_a_brokers_delivery_is_the_default_of_its_triggers_whole_or_not_at_all(tmp_path: Path) -> None:
    other = broker("things")
    other["metadata"]["name"] = "other"
    other["spec"]["delivery"] = {"retry": 7, "deadLetterSink": to_broker("things")}
    of_broker, own = (
        trigger("t", "things", service("agent")),
        trigger("u", "things", service("agent"), delivery={"retry": 1}),
    )
    for it in (of_broker, own):
        it["spec"]["broker"] = "other"
    triggers = loaded(tmp_path, other, of_broker, own).triggers
    assert [(t.delivery.retry, t.delivery.dead_letter is None) for t in triggers] == [(7, False), (1, True)]


def _with(resource: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {**resource, **changes}


@pytest.mark.parametrize(
    ("resource", "told"),
    [
        (_with(ping(), kind="CronJob"), r"document 3: kind: 'CronJob' is not known"),
        (_with(ping(), apiVersion="v1"), r"PingSource default/p: apiVersion: must be sources.knative.dev/v1, got 'v1'"),
        (ping(schedule="often"), r"PingSource default/p: spec.schedule: must be a cron schedule"),
        (ping(schedule="0 0 12 * * * 2030"), r"PingSource default/p: spec.schedule: must be a cron schedule"),
        (ping(schedule="0 0 L * *"), r"PingSource default/p: spec.schedule: must be a cron schedule"),
        (ping(schedule="0 0 * * 1#1"), r"PingSource default/p: spec.schedule: must be a cron schedule"),
        (source(bootstrapServers=[]), r"KafkaSource torpor/s: spec.bootstrapServers: .*at least 1 item"),
        (ping(schedule="@every 5m"), r"PingSource default/p: spec.schedule: must be a cron schedule"),
        (ping(timezone="Mars/Olympus"), r"PingSource default/p: spec.timezone: must be a time zone such as .*'Mars/Olympus'"),
        (ping(contentType="application/json", data="tick"), r"PingSource default/p: spec.data: must be a JSON object"),
        (ping(sink=service("nobody")), r"spec.sink.ref.name: no function 'nobody' .*; there are agent"),
        (ping(sink={}), r"spec.sink: .*needs a ref, or an absolute uri"),
        (source(topics=["nothing"]), r"KafkaSource torpor/s: spec.topics\[0\]: no KafkaTopic 'nothing'; there are things"),
        (source(sink=to_broker("things")), r"spec.sink: a source from topic things into its own Broker loops"),
        (source(delivery={"retires": 3}), r"spec.delivery.retires: is not known to the local platform"),
        (source(delivery={"backoffDelay": "2s"}), r"spec.delivery.backoffDelay: .*ISO 8601"),
        (source(delivery={"timeout": "PT11M"}), r"spec.delivery.timeout: .*less than or equal"),
        (trigger("t", "no_such", service("agent")), r"Trigger torpor/t: spec.broker: no Broker 'no-such' in namespace torpor; there are"),
        (trigger("t", "things", service("agent"), filters=[{"cesql": "x"}]), r"Trigger torpor/t: spec.filters\[0\].cesql: "),
        (trigger("t", "things", service("agent"), delivery={"deadLetterSink": to_broker("gone")}), r"deadLetterSink.ref.name: no Broker 'gone'"),
        (trigger("t", "things", {"ref": {"kind": "Deployment", "name": "x"}}), r"spec.subscriber.ref.kind: "),
        (_with(trigger("t", "things", {}), spec={"broker": "things"}), r"spec.subscriber: Field required"),
        (broker("unmade"), r"Broker torpor/unmade: metadata.annotations\[.*external.topic\]: no KafkaTopic 'unmade'"),
        (broker("things"), r"Broker torpor/things: metadata.name: is there twice"),
        ({"kind": "Broker"}, r"Broker: metadata.name: Field required"),
    ],
)  # fmt: skip
def test_what_cannot_be_honoured_is_refused_by_name(tmp_path: Path, resource: dict[str, Any], told: str) -> None:
    with pytest.raises(ManifestError, match=r"all.yaml: .*" + told):
        loaded(tmp_path, resource)


@pytest.mark.parametrize(
    "schedule", ["*/5 * * * *", "0,30 9-17 * JAN-MAR mon-fri", "0 */15 * ? * *", "@daily", "5/10 1 1 1 0"]
)
def test_what_a_ping_source_takes_for_a_schedule_is_taken(tmp_path: Path, schedule: str) -> None:
    assert loaded(tmp_path, ping(schedule=schedule)).pings[0].schedule == schedule


def test_yaml_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(ManifestError, match=r"bad.yaml: no YAML"):
        load(tmp_path, tmp_path)
    with pytest.raises(ManifestError, match="holds no"):
        load(tmp_path / "nowhere", tmp_path)


def test_a_func_yaml_without_a_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "functions/x").mkdir(parents=True)
    (tmp_path / "functions/x/func.yaml").write_text("run: {}")
    with pytest.raises(ManifestError, match=r"func.yaml: name: Field required"):
        load(GENERATED, tmp_path / "functions")


def test_functions_that_run_elsewhere_are_sinks_by_their_services_address() -> None:
    services = Services("http://{name}.torpor.example.com", via="http://10.0.0.1:18080")
    found = load(GENERATED, GENERATED.parents[2] / "functions", services=services)
    assert found.functions == ()
    assert {(one.sink.uri, one.sink.host) for one in found.triggers if one.name.startswith("validate")} == {
        ("http://10.0.0.1:18080", "validator.torpor.example.com")
    }
    (tick,) = found.pings
    assert (tick.sink.uri, tick.sink.headers) == ("http://10.0.0.1:18080/tick", {"Host": "tracker.torpor.example.com"})
