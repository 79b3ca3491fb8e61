"""What a chaos run strikes on a cluster, what it refuses before anything is struck, and what it does not pretend to know."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from eventing.chaos import Fault, Observations, Scenario, judge
from eventing.chaos.cluster import Cluster, ClusterError, ClusterSight, end_of, is_ready
from eventing.workflow import named

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("fault", "where"),
    [
        (Fault(kind="agents"), ("torpor", "serving.knative.dev/service")),
        (Fault(kind="agents", agent="research_assistant"), ("torpor", "serving.knative.dev/service=research-assistant")),
        (Fault(kind="broker"), ("kafka", "strimzi.io/cluster=torpor,strimzi.io/pool-name")),
        (Fault(kind="scheduler"), ("torpor", "app.kubernetes.io/name=scheduler")),
        (Fault(kind="model"), ("torpor-models", "app.kubernetes.io/name=vllm")),
    ],
)
def test_pods_are_found_by_the_labels_of_the_manifests(fault: Fault, where: tuple[str, str]) -> None:
    assert Cluster().where(fault) == where


def test_the_labels_are_those_that_are_applied() -> None:
    inference, broker = ((ROOT / f"terraform/modules/{name}/main.tf").read_text() for name in ("inference", "broker"))
    assert '"app.kubernetes.io/name" = "scheduler"' in inference and '"strimzi.io/cluster" = var.name' in broker
    serving = [one for one in yaml.safe_load_all((ROOT / "inference/serving/vllm.yaml").read_text()) if one]
    pods = [one["spec"]["template"]["metadata"]["labels"] for one in serving if one["kind"] == "Deployment"]
    assert pods and all(labels["app.kubernetes.io/name"] == "vllm" for labels in pods)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (Fault(kind="dispatcher"), "cannot be given dispatcher"),
        (Fault(kind="agents", at="before store"), "cannot be given agents at before store"),
        (Fault(kind="hang"), "cannot be given hang"),
        (Fault(kind="disk", of="store"), "cannot be given disk"),
    ],
)
def test_what_cannot_be_done_to_a_cluster_is_refused(fault: Fault, told: str) -> None:
    with pytest.raises(ClusterError, match=f"{told}; it takes agents"):
        Cluster().where(fault)


def test_without_kubectl_nothing_begins_and_that_is_said(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "eventing.cli",
        "chaos",
        "brokers",
        "--cluster",
        "nowhere",
        "--out",
        str(tmp_path / "out"),
    ]
    done = subprocess.run(
        command, cwd=ROOT, env={"PATH": str(tmp_path), "HOME": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode == 1 and "kubectl is not on the path" in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_what_was_not_seen_is_not_judged() -> None:
    workflow = named("research")
    sight = ClusterSight("http://gateway", workflow)
    ended = end_of("r", {"status": "complete", "at": 2.0}, workflow)
    run = Observations(0, 9, {"r": 1.0}, [ended], frozenset(workflow.ends), workflow.fails, unseen=sight.unseen)
    verdict = judge(run, costly=False)
    assert verdict.kept and verdict.complete == 1
    assert [promise.name for promise in verdict.promises] == [
        "every request was taken",
        "nothing is lost: every request that was taken has ended",
    ]
    assert dict(verdict.unjudged)["every request ends once"] == "Kafka was not named (--bootstrap)"
    assert {
        "one mail a request, outside of the stated windows",
        "every account is closed",
        "every model call is bought once",
    } < set(dict(verdict.unjudged))


def test_a_request_that_has_no_end_at_the_gateway_is_lost() -> None:
    workflow = named("research")
    unseen = ClusterSight("http://gateway", workflow).unseen
    run = Observations(0, 9, {"r": 1.0}, [], frozenset(workflow.ends), workflow.fails, unseen=unseen)
    assert not judge(run, costly=False).kept
    assert Scenario(faults=(Fault(kind="broker"),)).strikes_gateway is False


def test_a_pod_is_ready_when_it_says_so() -> None:
    assert is_ready({"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    assert not is_ready({"status": {"conditions": [{"type": "Ready", "status": "False"}]}}) and not is_ready({})
