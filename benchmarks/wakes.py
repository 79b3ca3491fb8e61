"""`python -m benchmarks.wakes --image 'REGISTRY/{agent}:TAG'`: from no pod to an answer, agents beside a bare function.

On a cluster with Knative Serving: TORPOR_TEST_KUBECONFIG names it, TORPOR_TEST_GATEWAY the ingress. The bare function is
benchmarks/hello.py in an agent's own image, served in the same way. They take turns; figures are the medians of the rounds.
Moments are read from this machine's clock, the pod's log and its process: the clocks must agree, as on a one-node cluster.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from statistics import median
from typing import Any

import urllib3

from benchmarks.bare import HERE
from eventing.manifests import serving

NAMESPACE, BARE = "wake", "hello"
STAGES = ("pod", "process", "server", "function", "answer")
HEADS = ("pod made", "process started", "Python and server loaded", "function loaded", "answered", "in all", "first event")
_HTTP = urllib3.PoolManager(retries=False, timeout=120.0)
# A volume would cost the bare function a wait that agents do not have.
_BARE = (
    "import os, pathlib, runpy; pathlib.Path(os.environ['FUNCTION_SOURCE']).write_text(os.environ['HELLO']);"
    "runpy.run_module('uvicorn', run_name='__main__', alter_sys=True)"
)
_SERVED = ["functions_framework.aio:app", "--host", "0.0.0.0", "--port", "8080", "--no-access-log"]
# When the process began, by the wall clock: asked in the pod, after everything else.
_BEGUN = (
    "import time; ticks = int(open('/proc/1/stat').read().rpartition(')')[2].split()[19]);"
    "print(time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + ticks / 100)"
)


@dataclass(frozen=True)
class Cluster:
    """Where the Services are, and the way to them."""

    kubeconfig: str
    gateway: str
    domain: str

    def kubectl(self, *arguments: str, given: str | None = None) -> str:
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "-n", NAMESPACE, *arguments]
        return subprocess.run(command, input=given, capture_output=True, text=True, check=True).stdout

    def apply(self, *found: dict[str, Any]) -> None:
        self.kubectl(
            "apply", "--server-side", "-f", "-", given=json.dumps({"apiVersion": "v1", "kind": "List", "items": found})
        )

    def ask(self, name: str, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, float]:
        """Status, and how long it took."""
        told = {"Host": f"{name}.{NAMESPACE}.{self.domain}", **headers}
        begun = time.time()
        status = _HTTP.request(method, self.gateway + path, body=body or None, headers=told).status
        return status, time.time() - begun

    def pods(self, name: str) -> list[str]:
        return self.kubectl("get", "pods", "-l", f"serving.knative.dev/service={name}", "-o", "name").split()

    @contextmanager
    def seen(self, name: str) -> Iterator[Callable[[], float]]:
        """When the first pod of a Service was seen, as long as it is watched for."""
        command = ["kubectl", "--kubeconfig", self.kubeconfig, "-n", NAMESPACE, "get", "pods", "--watch-only", "-o", "name"]
        watch = subprocess.Popen([*command, "-l", f"serving.knative.dev/service={name}"], stdout=subprocess.PIPE)
        told = watch.stdout
        assert told is not None
        with ThreadPoolExecutor(1) as reading:
            moment = reading.submit(lambda: (told.readline(), time.time())[1])
            time.sleep(2.0)  # the watch says nothing until something happens
            try:
                yield lambda: moment.result(10)
            finally:
                watch.terminate()
                watch.wait()


def service(name: str, image: str, cpu: str | None) -> dict[str, Any]:
    """The Service of an agent as it is shipped, but for its outside: no secrets, reachable from here, soon asleep again."""
    made = serving.service(HERE.parent / "functions" / ("validator" if name == BARE else name.replace("-", "_")), image)
    template = made["spec"]["template"]
    for labelled in (made["metadata"], template["metadata"]):
        labelled["labels"] = {}
    made["metadata"] |= {"name": name, "namespace": NAMESPACE}
    zero, soon = "autoscaling.knative.dev/scale-to-zero-pod-retention-period", "autoscaling.knative.dev/window"
    template["metadata"]["annotations"] |= {zero: "0s", soon: "6s"}
    container = template["spec"]["containers"][0]
    container["imagePullPolicy"] = "IfNotPresent"
    here = {"TORPOR_STORE": "memory:///", "TORPOR_INGRESS": "http://127.0.0.1:1/torpor"}
    given = {one["name"]: one["value"] for one in container["env"] if "value" in one} | here
    if name == BARE:
        given |= {"FUNCTION_SOURCE": "/dev/shm/hello.py", "HELLO": (HERE / "hello.py").read_text()}
        container |= {"command": ["/bin/python", "-c", _BARE], "args": _SERVED}
    container["env"] = [{"name": key, "value": value} for key, value in given.items()]
    if cpu:
        container["resources"]["limits"] |= {"cpu": cpu}
    del template["spec"]["serviceAccountName"]
    return made


def woken(cluster: Cluster, name: str) -> dict[str, float]:
    """Wake a Service that has no pod; how long each stage took, in seconds, and its first event after that."""
    while cluster.pods(name):
        time.sleep(0.5)
    with cluster.seen(name) as pod:
        begun = time.time()
        status, whole = cluster.ask(name, "GET", "/health/readiness")
        made = pod()
    assert status < 300, f"{name} answered {status}"
    # What breaks its contract brings up all of the adapter but its connections.
    event = {
        "ce-specversion": "1.0",
        "ce-id": "1",
        "ce-source": "/bench",
        "ce-type": "bench",
        "content-type": "application/json",
    }
    _, first = cluster.ask(name, "POST", "/", b"{}", **event)
    found = next(one for one in cluster.pods(name))
    said = cluster.kubectl("logs", found, "-c", "user-container", "--timestamps").splitlines()
    process = float(cluster.kubectl("exec", found, "-c", "user-container", "--", "/bin/python", "-c", _BEGUN))
    server, function = (_moment(said, words) for words in ("Started server process", "Application startup complete"))
    moments = (begun, made, process, server, function, begun + whole)
    stages = dict(zip(STAGES, (b - a for a, b in pairwise(moments)), strict=True))
    return stages | {"whole": whole, "first": first}


def _moment(lines: Sequence[str], words: str) -> float:
    line = next(one for one in lines if words in one)
    return datetime.fromisoformat(line.split()[0][:26] + "+00:00").timestamp()


def measured(cluster: Cluster, names: Sequence[str], rounds: int) -> dict[str, dict[str, float]]:
    """Medians of each, in turn."""
    taken: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for name in list(names) * (rounds + 1):
        taken[name].append(woken(cluster, name))
        print(
            name, {stage: round(s, 3) for stage, s in taken[name][-1].items()}, f"load {os.getloadavg()[0]:.1f}", flush=True
        )
    # The first wake of each finds nothing in the page cache.
    return {name: {stage: median(one[stage] for one in found[1:]) for stage in found[0]} for name, found in taken.items()}


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wakes", description="From no pod to an answer.")
    parser.add_argument("--image", required=True, help="of an agent, with {agent} where its Kubernetes name goes")
    parser.add_argument("--agents", nargs="+", default=["validator"], help="their Kubernetes names")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cpu", help="another limit of processors than func.yaml's")
    given = parser.parse_args()
    domain = os.environ.get("TORPOR_TEST_DOMAIN", "lab.example")
    cluster = Cluster(os.environ["TORPOR_TEST_KUBECONFIG"], os.environ["TORPOR_TEST_GATEWAY"].rstrip("/"), domain)
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": NAMESPACE}}
    cluster.apply(account | {"automountServiceAccountToken": False})  # as agents' own have it
    names = [BARE, *given.agents]
    images = {name: given.image.format(agent=given.agents[0] if name == BARE else name) for name in names}
    cluster.apply(*(service(name, image, given.cpu) for name, image in images.items()))
    cluster.kubectl("wait", "--for=condition=Ready", "ksvc", "--all", "--timeout=300s")
    try:
        found = measured(cluster, names, given.rounds)
    finally:
        cluster.kubectl("delete", "ksvc", *names, "--wait=false")
    print(f"\n| ms, median of {given.rounds} | {' | '.join(HEADS)} |\n|---|{'--:|' * len(HEADS)}")
    for name, row in found.items():
        print(f"| {name} | {' | '.join(f'{row[stage] * 1000:.0f}' for stage in (*STAGES, 'whole', 'first'))} |")


if __name__ == "__main__":
    main()
