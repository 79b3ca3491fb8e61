"""Counters as Prometheus reads them; a trace that is passed on where nobody records it."""

import re

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventing import metrics, telemetry
from eventing.metrics import Counter, Histogram

PARENT = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(metrics, "_ALL", [])


def samples() -> dict:
    families = text_string_to_metric_families(metrics.exposition())
    return {(s.name, tuple(s.labels.items())): s.value for family in families for s in family.samples}


def test_prometheus_reads_what_was_counted(alone):
    counter = Counter("eggs_total", "Eggs, counted", ["hen"])
    counter.add("Ada")
    counter.add("Ada", by=2.5)
    counter.add('a "b" \\ \n c')
    assert samples() == {("eggs_total", (("hen", "Ada"),)): 3.5, ("eggs_total", (("hen", 'a "b" \\ \n c'),)): 1}
    assert counter.value("Ada") == 3.5 and counter.value("Eve") == 0
    with pytest.raises(ValueError, match="has the labels hen"):
        counter.add("Ada", "white")


def test_a_histogram_counts_up_to_each_bound(alone):
    histogram = Histogram("weight_seconds", "How heavy", ["hen"], (0.5, 1))
    for value in (0.5, 0.75, 3):
        histogram.observe(value, "Ada")
    found = {key[1][-1][1] if "bucket" in key[0] else key[0]: value for key, value in samples().items()}
    assert found == {"0.5": 1, "1": 2, "+Inf": 3, "weight_seconds_sum": 4.25, "weight_seconds_count": 3}


def test_a_context_is_passed_on_as_it_came_and_ends_with_its_span():
    with telemetry.span("process x", {"traceparent": PARENT, "tracestate": "v=1"}):
        assert telemetry.context() == {"traceparent": PARENT, "tracestate": "v=1"}
        with telemetry.span("publish y", kind="producer") as inner:
            inner.set({"anything": 1})
            inner.event("woken", {})
            assert telemetry.context()["traceparent"] == PARENT
    assert telemetry.context() == {}


@pytest.mark.parametrize("wrong", ["", "soon", "00-" + "0" * 32 + "-" + "b" * 16 + "-01", "ff" + PARENT[2:], PARENT + "\n"])
def test_a_trace_begins_where_none_came(wrong):
    with telemetry.span("process x", {"traceparent": wrong, "tracestate": "v=1"}):
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-01", telemetry.context()["traceparent"])
        assert "tracestate" not in telemetry.context()
