"""What an observer sees of a request on the running platform: one trace over all hops, and counts that outlive processes."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from eventing.local.asking import ask
from eventing.local.mailbox import letters
from inference.testing import FakeServer
from tests.local.receiver import Receiver, Span
from tests.local.running import LIMIT_S, ROOT, Running, until

pytestmark = pytest.mark.timeout(240)
TOPIC = "Wombat-shaped secrets of ML-KEM"  # words that no span may carry
AGENTS = {"planner", "research_assistant", "validator", "aggregator", "formatter", "notifier"}


class Observed:
    """A request that has ended, and whose agents have fallen asleep."""

    def __init__(self, running: Running, model: FakeServer, receiver: Receiver) -> None:
        self.running, self.model, self.receiver = running, model, receiver
        self.request_id = running.ask(TOPIC, depth=2, email="me@example.org")
        running.completed(self.request_id)
        until(lambda: letters(running.config.mailbox), "the mail", 30)
        until(lambda: not self.instances(), "all asleep", 60)

    def instances(self) -> int:
        answer = ask(f"http://127.0.0.1:{self.running.ports.platform}/platform/ps", LIMIT_S)
        return sum(one["instances"] for name, one in answer.json()["functions"].items())

    def spans(self, prefix: str) -> list[Span]:
        return [span for span in self.receiver.spans if span.name.startswith(prefix)]

    def counts(self, name: str) -> Counter[str]:
        """A metric of the platform's page, summed by agent."""
        answer = ask(f"http://127.0.0.1:{self.running.ports.platform}/platform/metrics", LIMIT_S)
        found: Counter[str] = Counter()
        for family in text_string_to_metric_families(answer.data.decode()):
            for sample in family.samples:
                if sample.name == name:
                    found[sample.labels.get("agent") or sample.labels.get("function") or sample.labels["name"]] += (
                        sample.value
                    )
        return found


@pytest.fixture(scope="module")
def observed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observed]:
    with FakeServer() as model, Receiver() as receiver:
        folder = tmp_path_factory.mktemp("observed")
        price = {"input": 10, "output": 20, "currency": "EUR"}
        pool = {"name": "own", "models": ["fake-model"], "servers": [{"name": "fake", "url": model.url, "price": price}]}
        (folder / "pools.yaml").write_text(json.dumps({"pools": [pool]}))
        environ = {"TORPOR_POOLS": str(folder / "pools.yaml"), "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        running = Running(folder / "state", environ)
        running.up("--sources", str(ROOT / "examples/post-quantum"))
        try:
            yield Observed(running, model, receiver)
        finally:
            running.down()


def test_one_trace_leads_from_the_question_to_the_mail(observed: Observed):
    (asked,) = (span for span in observed.spans("POST") if span.kind == "server")
    mine = [span for span in observed.receiver.spans if span.attributes.get("torpor.request_id") == observed.request_id]
    assert {span.trace for span in mine} == {asked.trace}
    of_trace = {span.id: span for span in observed.receiver.spans if span.trace == asked.trace}
    assert {span.service for span in of_trace.values()} >= AGENTS
    (mail,) = observed.spans("send mail")
    path, span = [], mail
    while span.parent:
        path.append(span.name)
        span = of_trace[span.parent]
    assert span == asked
    topics = [name.removeprefix("process ") for name in path if name.startswith("process")]
    assert topics[:2] == ["research_complete", "research_results"] and topics[2] in ("validation_passed", "part_abandoned")
    assert topics[3] == "summary_ready" and topics[-2:] == ["research_questions", "research_requests"]


def test_each_hop_is_told_as_the_conventions_have_it(observed: Observed):
    for span in observed.spans("process "):
        topic = span.name.removeprefix("process ")
        assert span.kind == "consumer"
        told = {
            "messaging.system": "kafka",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "faas.name": span.service,
            "faas.trigger": "pubsub",
            "cloudevents.event_type": topic,
        }
        assert told.items() <= span.attributes.items()
        assert span.attributes["messaging.message.id"] == span.attributes["cloudevents.event_id"]
    for span in observed.spans("publish "):
        assert span.kind == "producer" and span.attributes["messaging.operation.type"] == "send"
        parent = next(s for s in observed.receiver.spans if s.id == span.parent)
        assert parent.service == span.service


def test_wakes_are_seen(observed: Observed):
    woken = [span for span in observed.spans("process ") if span.attributes["faas.coldstart"]]
    assert {span.service for span in woken} >= AGENTS
    assert all(0 < span.events["woken"]["torpor.wake_seconds"] < 60 for span in woken)


def test_model_calls_are_seen_with_their_tokens_and_none_of_their_words(observed: Observed):
    calls = observed.spans("chat ")
    assert len(calls) == len(observed.model.calls) > 0
    parents = {span.id: span for span in observed.receiver.spans}
    for span in calls:
        assert span.kind == "client" and span.name == "chat fake-model" and not span.failed
        assert parents[span.parent].name.startswith("process ")
        assert span.attributes["gen_ai.operation.name"] == "chat"
        assert span.attributes["gen_ai.response.model"] == "fake-model"
        assert span.attributes["gen_ai.response.finish_reasons"] == ["stop"]
        assert span.attributes["gen_ai.usage.input_tokens"] > 0 < span.attributes["gen_ai.usage.output_tokens"]
    assert {call.traceparent.split("-")[2] for call in observed.model.calls} == {span.id for span in calls}
    assert "Wombat" not in repr(observed.receiver.spans)


def test_the_mail_carries_its_trace(observed: Observed):
    (letter,) = observed.running.config.mailbox.glob("new/*")
    (mail,) = observed.spans("send mail")
    assert f"Traceparent: 00-{mail.trace}-{mail.id}-0" in letter.read_text()
    assert "example.org" not in repr(mail)


def test_what_was_counted_outlives_the_processes(observed: Observed):
    assert observed.instances() == 0
    requests = observed.counts("agent_requests_total")
    # Parts that finish at the same moment may both find the join complete; what they publish then is one event, told twice.
    assert requests["planner"] == 1 and requests["research_assistant"] >= 2 and requests["notifier"] >= 1
    assert observed.counts("agent_step_duration_seconds_count")["planner"] == 1
    assert observed.counts("agent_wakes_total")["planner"] == 1 < observed.counts("agent_wake_seconds_total")["planner"] + 1
    bought = sum(span.attributes["gen_ai.usage.input_tokens"] for span in observed.spans("chat "))
    said = sum(span.attributes["gen_ai.usage.output_tokens"] for span in observed.spans("chat "))
    assert sum(observed.counts("agent_tokens_total").values()) == bought + said
    assert sum(observed.counts("agent_cost_total").values()) == pytest.approx((bought * 10 + said * 20) / 1e6)
    assert set(observed.counts("torpor_delivery_lag").values()) == {0}
    assert observed.counts("torpor_function_wakes_total")["planner"] == 1


def test_a_second_request_adds_up(observed: Observed):
    before = observed.counts("agent_requests_total")["planner"]
    again = observed.running.ask("once more", depth=1)
    observed.running.ended(again)
    until(lambda: observed.counts("agent_requests_total")["planner"] == before + 1, "the sum", 30)


def test_what_the_models_say_and_cost_reaches_whoever_asks_and_the_account_is_closed(observed: Observed):
    asked = observed.running.torpor("ask", "and again", "--depth", "1", "--json", "--tokens")
    lines = [json.loads(line) for line in asked.stdout.splitlines()]
    said = [line for line in lines if line["event"] == "tokens"]
    assert {line["agent"] for line in said} <= {"planner", "research_assistant", "validator"} and said
    assert len({line["call"] for line in said}) == sum(line["done"] for line in said)
    state = lines[-1]["state"]
    spent = sum(step["cost"] for step in state["steps"])
    assert {step["currency"] for step in state["steps"]} == {"EUR", ""} and spent > 0
    scheduler = f"http://127.0.0.1:{observed.running.ports.scheduler}"
    account = ask(f"{scheduler}/requests/{state['request_id']}", LIMIT_S).json()
    assert account["budget_tokens"] == 60_000 and account["spent_tokens"] == state["tokens"]
    until(lambda: ask(f"{scheduler}/state", LIMIT_S).json()["open_requests"] == 0, "the account's end", 30)
