"""A cluster as what is struck: pods are deleted by kubectl, and what is seen comes from the addresses that are named.

Nothing is touched but pods that carry the labels of Torpor's manifests, in the namespaces that are named.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import urllib3

from eventing.chaos.mailing import Mailing
from eventing.chaos.observing import Seen, Struck, everything
from eventing.chaos.scenario import Fault, Scenario
from eventing.chaos.striking import Striker
from eventing.errors import EventingError
from eventing.workflow import Workflow

KNATIVE = "serving.knative.dev/service"
_HTTP = urllib3.PoolManager(retries=False, timeout=10.0, maxsize=40)
_KUBECTL_S = 60.0
_LOOK_S, _AT_ONCE = 1.0, 40  # how often requests are looked at, and how many of them


class ClusterError(EventingError):
    """A cluster cannot be struck; the message says why, and what would be right."""


@dataclass(frozen=True)
class Cluster:
    """Where Torpor is on a cluster; `options` are kubectl's, such as --context."""

    namespace: str = "torpor"
    brokers: str = "kafka"  # the namespaces of Kafka and of the model servers
    models: str = "torpor-models"
    options: tuple[str, ...] = ()

    def where(self, fault: Fault) -> tuple[str, str]:
        """The namespace and the label selector of what a fault strikes.

        Raises:
            ClusterError: when it can strike nothing on a cluster.
        """
        if fault.kind == "agents" and fault.at is None:
            return self.namespace, KNATIVE + (f"={fault.agent.replace('_', '-')}" if fault.agent else "")
        if fault.kind == "broker":
            return self.brokers, "strimzi.io/cluster=torpor,strimzi.io/pool-name"
        if fault.kind == "scheduler":
            return self.namespace, "app.kubernetes.io/name=scheduler"
        if fault.kind == "model":
            return self.models, "app.kubernetes.io/name=vllm"
        what = f"agents at {fault.at}" if fault.at else fault.kind
        raise ClusterError(f"a cluster cannot be given {what}; it takes agents (anywhere), broker, scheduler and model")

    def check(self, scenario: Scenario) -> None:
        """Look at everything before anything is struck.

        Raises:
            ClusterError: kubectl is missing, a namespace or its pods are not there, or pods may not be deleted.
        """
        if shutil.which("kubectl") is None:
            raise ClusterError("kubectl is not on the path: install it (https://kubernetes.io/docs/tasks/tools/)")
        for namespace, selector in dict.fromkeys(map(self.where, scenario.faults)):
            with suppress(_ForbiddenError):  # who may not look at namespaces may still delete pods
                self.kubectl("get", "namespace", namespace)
            if self._answer("auth", "can-i", "delete", "pods", "-n", namespace).stdout.strip() != "yes":
                raise ClusterError(
                    f"you may not delete pods in namespace {namespace}: `kubectl auth can-i delete pods` says no"
                )
            if not self.pods(namespace, selector) and not self._sleeps(namespace, selector):
                raise ClusterError(
                    f"no pod in namespace {namespace} has the label {selector}: is Torpor there? name its namespace"
                )

    def pods(self, namespace: str, selector: str) -> list[dict[str, Any]]:
        """The pods that are there and are not being deleted."""
        found = json.loads(self.kubectl("get", "pods", "-n", namespace, "-l", selector, "-o", "json"))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    def kill(self, pod: Mapping[str, Any]) -> None:
        """As kill -9: the pod has no time to finish."""
        about = pod["metadata"]
        self.kubectl("delete", "pod", about["name"], "-n", about["namespace"], "--force", "--grace-period=0", "--wait=false")

    def gateway(self) -> str:
        """The gateway's address as Knative tells it.

        Raises:
            ClusterError: when it tells none.
        """
        path = "jsonpath={.status.url}"
        with suppress(ClusterError):
            if url := self.kubectl(
                "get", "services.serving.knative.dev", "gateway", "-n", self.namespace, "-o", path
            ).strip():
                return url
        raise ClusterError(
            f"no Knative Service `gateway` in namespace {self.namespace} tells its address: name it by --gateway"
        )

    def kubectl(self, *arguments: str) -> str:
        """What kubectl prints.

        Raises:
            ClusterError: with what it said.
        """
        done = self._answer(*arguments)
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip())[:500]
            raise (_ForbiddenError if "(Forbidden)" in said else ClusterError)(
                f"kubectl {arguments[0]} {arguments[1]}: {said}"
            )
        return done.stdout

    def _answer(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["kubectl", *self.options, *arguments]
        try:
            return subprocess.run(command, capture_output=True, text=True, timeout=_KUBECTL_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ClusterError(f"kubectl {arguments[0]}: {error}") from error

    def _sleeps(self, namespace: str, selector: str) -> bool:
        """Whether there are agents that are asleep: a Knative Service without pods."""
        if not selector.startswith(KNATIVE):
            return False
        with suppress(ClusterError):
            names = self.kubectl("get", "services.serving.knative.dev", "-n", namespace, "-o", "name").split()
            wanted = selector.partition("=")[2]
            return any(not wanted or name.endswith(f"/{wanted}") for name in names)
        return False


class _ForbiddenError(ClusterError):
    pass


@dataclass
class PodStriker(Striker):
    """Strikes pods."""

    cluster: Cluster = field(kw_only=True)

    async def _spell(self, fault: Fault, _: str | None) -> Struck | None:
        return await asyncio.to_thread(self._pod, fault)

    _agents = _broker = _scheduler = _model = _spell

    def _pod(self, fault: Fault) -> Struck | None:
        pods = self.cluster.pods(*self.cluster.where(fault))
        if not pods or (fault.kind == "broker" and (len(pods) < 3 or not all(map(is_ready, pods)))):
            return None
        pod, at = self.chance.choice(pods), time.time()
        self.cluster.kill(pod)
        about = pod["metadata"]
        named = {"agents": about["labels"].get(KNATIVE, ""), "broker": about["name"]}
        return Struck(fault.kind, at, named.get(fault.kind, ""))


def is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


@dataclass
class ClusterSight:
    """What is seen of a cluster: requests at its gateway; events and scheduler where they are named."""

    gateway: str
    workflow: Workflow
    bootstrap: str | None = None
    scheduler_url: str | None = None
    states: dict[str, dict[str, Any]] = field(default_factory=dict)  # of requests that have ended

    @property
    def unseen(self) -> dict[str, str]:
        found = {"mails": "none is asked for: a cluster's mailbox is not seen from here"}
        if not self.bootstrap:
            found["events"] = "Kafka was not named (--bootstrap)"
        if not self.scheduler_url:
            found["scheduler"] = "the scheduler was not named (--scheduler)"
        return found

    def scheduler(self) -> dict[str, Any]:
        """As `Sight.scheduler`."""
        return told(f"{self.scheduler_url}/state") if self.scheduler_url else {}

    def mailed(self) -> list[str]:
        return []

    async def mailings(self) -> dict[str, Mailing]:
        return {}

    def generated(self) -> dict[str, int]:
        return {}

    async def events(self) -> list[Seen]:
        """Every event where Kafka is named; else the end of each request, as its state tells it."""
        if self.bootstrap:
            return await everything(self.bootstrap, self.workflow)
        return [end_of(request, state, self.workflow) for request, state in self.states.items()]


def end_of(request: str, state: Mapping[str, Any], workflow: Workflow) -> Seen:
    """The end of a request, made from its state."""
    failed = state["status"] == "failed"
    kind = workflow.fails if failed and workflow.fails else next(end for end in workflow.ends if end != workflow.fails)
    return Seen(state["at"], "", f"end of {request}", kind, "/gateway", request, reason=str(state.get("reason") or ""))


class StateWatch:
    """Follows requests by asking the gateway for those that are open."""

    def __init__(self, sight: ClusterSight, admitted: Mapping[str, float]) -> None:
        self._sight, self._admitted = sight, admitted
        self.ended: dict[str, float] = {}
        self.answers = 0

    async def run(self) -> None:
        """Follow until cancelled."""
        while True:
            open_ones = [request for request in self._admitted if request not in self.ended]
            for first in range(0, len(open_ones), _AT_ONCE):
                await asyncio.gather(*map(self._look, open_ones[first : first + _AT_ONCE]))
            await asyncio.sleep(_LOOK_S)

    async def _look(self, request: str) -> None:
        state = await asyncio.to_thread(told, f"{self._sight.gateway}/requests/{request}")
        if state.get("status") not in (None, "running"):
            self.ended[request] = time.time()
            self._sight.states[request] = state | {"at": self.ended[request]}


def told(url: str) -> dict[str, Any]:
    """The JSON at an address; empty while it does not answer with any."""
    try:
        answer = _HTTP.request("GET", url)
        return dict(answer.json()) if answer.status == 200 else {}
    except (urllib3.exceptions.HTTPError, ValueError, TypeError):
        return {}
