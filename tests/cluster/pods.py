"""The agents' pods, as the cluster tells of them."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from eventing.project import functions
from tests.cluster.program import Kubectl
from tests.local.running import ROOT, until

NAMESPACE = "torpor"
AGENTS = sorted(folder.name.replace("_", "-") for folder in functions(ROOT))
_OF, _REVISION = "serving.knative.dev/service", "serving.knative.dev/revision"


@dataclass(frozen=True)
class Pods:
    """What runs in the workflow's namespace."""

    kubectl: Kubectl

    def of(self, agent: str = "") -> list[dict[str, Any]]:
        """The pods of one agent, or of all; also those that are coming up or being ended."""
        chosen = f"{_OF}={agent}" if agent else _OF
        found: dict[str, Any] = json.loads(self.kubectl.run("get", "pods", "-n", NAMESPACE, "-l", chosen, "-o", "json"))
        return list(found["items"])

    def ready(self, agent: str) -> list[str]:
        """The names of an agent's pods that take events; those of an earlier revision take none, and stay for a while."""
        current = {one["revisionName"] for one in self.service(agent)["status"]["traffic"]}
        found = [pod for pod in self.of(agent) if pod["metadata"]["labels"][_REVISION] in current]
        return [pod["metadata"]["name"] for pod in found if _kept(pod) and _is(pod, "Ready")]

    def kept(self, agent: str) -> list[str]:
        """The names of an agent's pods that nobody has ended yet; an ingress may lead to an earlier revision a moment longer."""
        return [pod["metadata"]["name"] for pod in self.of(agent) if _kept(pod)]

    def service(self, agent: str) -> dict[str, Any]:
        return self.kubectl.get("services.serving.knative.dev", agent, NAMESPACE)

    def deployed(self) -> None:
        """Wait until every agent's Service and the scheduler are ready."""
        until(lambda: all(map(self.is_ready, AGENTS)), "every Service is ready", 300)
        self.kubectl.run("rollout", "status", "deployment/scheduler", "-n", NAMESPACE, "--timeout=110s")

    def is_ready(self, agent: str) -> bool:
        """Whether a Service is ready as it was last applied."""
        found = self.service(agent)
        return found["metadata"]["generation"] == found.get("status", {}).get("observedGeneration") and _is(found, "Ready")

    def none(self, limit_s: float = 300) -> None:
        """Wait until no agent has a pod."""
        until(lambda: not self.of(), "no agent has a pod", limit_s)

    @contextmanager
    def counted(self) -> Iterator[Counter[str]]:
        """The most pods that each agent has at a time, looked at again and again meanwhile."""
        most: Counter[str] = Counter()
        over = threading.Event()

        def look() -> None:
            while not over.wait(0.5):
                now = Counter(pod["metadata"]["labels"][_OF] for pod in self.of() if _kept(pod))
                most.update({agent: max(0, number - most[agent]) for agent, number in now.items()})

        looking = threading.Thread(target=look)
        looking.start()
        try:
            yield most
        finally:
            over.set()
            looking.join()


def _kept(pod: dict[str, Any]) -> bool:
    return "deletionTimestamp" not in pod["metadata"]


def _is(found: dict[str, Any], condition: str) -> bool:
    told = found.get("status", {}).get("conditions", ())
    return any(one["type"] == condition and one["status"] == "True" for one in told)
