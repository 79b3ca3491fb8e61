"""`torpor chaos --kubeconfig`: pods are found and deleted on a real API server, and what is wrong is said before anything is.

TORPOR_TEST_KUBECONFIG names the cluster's kubeconfig. The pods carry the labels of agents and brokers, in a namespace of the
test's own; the gateway is played on this machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random

import pytest

from eventing.chaos import Fault, Scenario
from eventing.chaos.cluster import Cluster, ClusterError, PodStriker
from tests.cluster.program import Kubectl
from tests.terraform.reading import ROOT

NAMES = [f"planner-{number}" for number in range(3)] + [f"torpor-nodes-{number}" for number in range(3)]


def pod(name: str, namespace: str) -> dict[str, object]:
    agent = {"serving.knative.dev/service": "planner"}
    labels = agent if name.startswith("planner") else {"strimzi.io/cluster": "torpor", "strimzi.io/pool-name": "nodes"}
    image = {"name": "one", "image": "localhost/none", "imagePullPolicy": "Never"}
    about = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": about, "spec": {"containers": [image]}}


@pytest.fixture(scope="module")
def kubeconfig() -> str:
    path = os.environ.get("TORPOR_TEST_KUBECONFIG")
    assert path, "TORPOR_TEST_KUBECONFIG must name the kubeconfig of a cluster for tests"
    return path


@pytest.fixture
def cluster(kubeconfig: str, tmp_path: Path) -> Iterator[Cluster]:
    kubectl, namespace = Kubectl(kubeconfig), f"torpor-test-{uuid.uuid4().hex[:8]}"
    kubectl.run("create", "namespace", namespace)
    try:
        (tmp_path / "pods.json").write_text(
            json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod(name, namespace) for name in NAMES]})
        )
        kubectl.run("apply", f"--filename={tmp_path / 'pods.json'}")
        yield Cluster(namespace, namespace, namespace, (f"--kubeconfig={kubeconfig}",))
    finally:
        kubectl.run("delete", "namespace", namespace, "--wait=false")


def names(cluster: Cluster, fault: Fault) -> set[str]:
    return {one["metadata"]["name"] for one in cluster.pods(*cluster.where(fault))}


async def test_an_agents_pod_is_deleted_at_once_and_no_other(cluster: Cluster) -> None:
    scenario = Scenario(faults=(Fault(kind="agents", agent="planner", after=0),))
    cluster.check(scenario)
    striker = PodStriker(lambda _: None, Random(1), cluster=cluster)
    await striker.run(scenario)
    assert [one.victim for one in striker.struck] == ["planner"]
    assert len(names(cluster, Fault(kind="agents"))) == 2 and len(names(cluster, Fault(kind="broker"))) == 3


async def test_a_broker_is_left_alone_while_another_is_not_ready(cluster: Cluster) -> None:
    striker = PodStriker(lambda _: None, Random(1), cluster=cluster)
    await striker.run(Scenario(faults=(Fault(kind="broker", after=0),)))
    assert striker.missed == ["broker: nothing there to strike"] and len(names(cluster, Fault(kind="broker"))) == 3


@pytest.mark.parametrize(
    ("changed", "fault", "told"),
    [
        ({"namespace": "torpor-nowhere"}, Fault(kind="agents"), 'namespaces "torpor-nowhere" not found'),
        (
            {},
            Fault(kind="agents", agent="validator"),
            "has the label serving.knative.dev/service=validator: is Torpor there",
        ),
        ({}, Fault(kind="scheduler"), "has the label app.kubernetes.io/name=scheduler"),
        ({"options": ("--as=nobody",)}, Fault(kind="agents"), "you may not delete pods in namespace torpor-test-"),
        ({"options": ("--context=nowhere",)}, Fault(kind="agents"), "context was not found for specified context: nowhere"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_struck(
    cluster: Cluster, changed: dict[str, object], fault: Fault, told: str
) -> None:
    given = vars(cluster) | changed
    given["options"] = (*cluster.options, *(changed.get("options", ())))  # type: ignore[misc]
    with pytest.raises(ClusterError, match=told):
        Cluster(**given).check(Scenario(faults=(fault,)))  # type: ignore[arg-type]


class Gateway(BaseHTTPRequestHandler):
    """A gateway whose requests end at once."""

    def answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(202, {})

    def do_GET(self) -> None:
        schema = {"properties": {"topic": {"type": "string"}}, "required": ["topic"]}
        self.answer(200, schema if self.path == "/requests" else {"status": "complete"})

    def log_message(self, *_: object) -> None:
        pass


def test_a_run_strikes_asks_and_says_what_it_could_not_judge(cluster: Cluster, kubeconfig: str, tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text("requests: 4\nrate: 2\nsettle: 20\nfaults:\n  - {kind: agents, after: 0, every: 1, times: 2}\n")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Gateway)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    options = ["--kubeconfig", kubeconfig, "--namespace", cluster.namespace, "--out", str(tmp_path / "out")]
    options += ["--gateway", f"http://127.0.0.1:{server.server_port}"]
    command = [sys.executable, "-m", "eventing.cli", "chaos", str(own), *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    server.shutdown()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "4 requests in" in done.stdout and "4 complete" in done.stdout
    assert "unknown  one mail a request, outside of the stated windows: none is asked for" in done.stdout
    assert len(names(cluster, Fault(kind="agents"))) == 1
