"""What must be true of a workflow file: one that cannot work is refused, with the line."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eventing.errors import WorkflowError
from eventing.manifests import files
from eventing.workflow import FOLDER, load, named

RESEARCH = (FOLDER / "research.yaml").read_text()
ROOT = Path(__file__).parents[2]


def refused(tmp_path: Path, *edits: tuple[str, str]) -> str:
    text = RESEARCH
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new)
    path = tmp_path / "w.yaml"
    path.write_text(text)
    with pytest.raises(WorkflowError) as caught:
        load(path)
    return str(caught.value)


def line_of(text: str) -> int:
    return next(n for n, line in enumerate(RESEARCH.splitlines(), 1) if text in line)


def test_the_research_workflow_works():
    workflow = named("research")
    assert workflow.step_for("research_assistant", "validation_failed").name == "revise"
    assert workflow.topics[0] == "research_requests" and "workflow_state" in workflow.topics


@pytest.mark.parametrize(
    ("edits", "told", "near"),
    [
        (
            [("answers: [research_results]", "answers: [research_results, summary_made]")],
            "summary_made has no contract in schemas/",
            "answers: [research_results]",
        ),
        (
            [("  format:\n    agent: formatter\n    takes: [research_results]", "  format:\n    agent: formatter\n    takes: [summary_ready]")],
            "research_results is answered, but no step takes it and it is no end",
            "answers: [research_results]",
        ),
        ([("    revisions: 2  ", "    # none      ")], "is in a loop without a bound: give one of its steps `revisions: N`", "answers: [validation_"),
        ([("    fan_out: 5  ", "    # none      ")], "joins parts, but no step has `fan_out`: it would wait for ever", "join: parts"),
        (
            [("takes: [validation_passed, part_abandoned]", "takes: [validation_passed]"),
             ("ends: [research_complete, research_failed]", "ends: [research_complete, research_failed, part_abandoned]")],
            "a part that ends in part_abandoned (step research) never reaches it, so the join would wait for ever",
            "join: parts",
        ),
        ([("time_limit: 2m", "time_limit: 10m")], "600 s leaves no room within Eventing's delivery time-out of 600 s", "time_limit: 2m"),
        ([("time_limit: 2m", "time_limit: soon")], "steps.plan.time_limit: must be a duration such as 30s, 5m or 1h, got 'soon'", "time_limit: 2m"),
        ([("    agent: planner\n", "    agnet: planner\n")], "steps.plan.agnet: there is no such key; did you mean agent?", "agent: planner"),
        ([("opens: research_requests ", "opens: research_wishes ")], "research_wishes opens a request, but no step takes it", "opens:"),
    ],
)  # fmt: skip
def test_a_workflow_that_cannot_work_is_refused_with_its_line(tmp_path, edits, told, near):
    message = refused(tmp_path, *edits)
    assert told in message
    lines = [int(m.split(":")[1]) for m in message.splitlines() if told in m]
    assert any(abs(line - line_of(near)) <= 1 for line in lines) or near.startswith("answers: [validation_")


def test_what_is_no_workflow_is_told(tmp_path):
    for text, told in (("[1, 2", "is no YAML"), ("a: 1", "must be a mapping with the key `steps`")):
        path = tmp_path / "w.yaml"
        path.write_text(text)
        with pytest.raises(WorkflowError, match=told):
            load(path)
    with pytest.raises(WorkflowError, match="cannot be read: No such file"):
        load(tmp_path / "absent.yaml")


def resources() -> list[dict]:
    return [r for text in files(named("research")).values() for r in yaml.safe_load_all(text)]


def test_every_trigger_and_source_has_retries_a_time_limit_and_a_dead_letter_sink_that_exists():
    brokers = {r["metadata"]["name"] for r in resources() if r["kind"] == "Broker"}
    delivered = [r for r in resources() if r["kind"] in ("Trigger", "KafkaSource")]
    assert len(delivered) >= 11
    for resource in delivered:
        delivery = resource["spec"]["delivery"]
        assert delivery["retry"] == 40 and delivery["backoffPolicy"] == "linear"
        assert int(delivery["timeout"][2:-1]) <= 600
        assert delivery["deadLetterSink"]["ref"]["name"] in brokers


def test_every_broker_stands_on_a_topic_of_its_own():
    topics = {r["spec"]["topicName"] for r in resources() if r["kind"] == "KafkaTopic"}
    for broker in (r for r in resources() if r["kind"] == "Broker"):
        topic = broker["metadata"]["annotations"]["kafka.eventing.knative.dev/external.topic"]
        assert topic in topics and broker["metadata"]["name"] == topic.replace("_", "-")


def test_no_source_feeds_the_topic_it_reads():
    for source in (r for r in resources() if r["kind"] == "KafkaSource"):
        assert source["spec"]["sink"]["ref"]["kind"] == "Service"
        assert "workflow_state" not in source["spec"]["topics"]
        assert source["spec"]["delivery"]["deadLetterSink"]["ref"]["name"].replace("-", "_") not in source["spec"]["topics"]


def test_committed_manifests_are_those_of_the_workflow():
    done = subprocess.run([sys.executable, "-m", "eventing.manifests", "--check"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
