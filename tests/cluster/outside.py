"""What a cluster for tests lacks, lent to it by this machine: Eventing's ingress, a bucket, a mail server, a model, a volume."""

from __future__ import annotations

from typing import Any

from tests.cluster.program import Kubectl
from tests.local.running import until

LENT = {"app.kubernetes.io/part-of": "torpor-test"}
EVENTING, INGRESS = "knative-eventing", "kafka-broker-ingress"
_JOURNAL = "torpor-test-journal"


def lend_ingress(kubectl: Kubectl, host: str, port: int) -> None:
    """Let the name of Eventing's Kafka ingress lead to a port of this machine.

    Raises:
        AssertionError: the cluster has an ingress of its own.
    """
    there = kubectl.run("get", "namespace", EVENTING, "--ignore-not-found", "-o", "name")
    labelled = kubectl.run("get", "namespace", "-l", "app.kubernetes.io/part-of=torpor-test", "-o", "name")
    assert not there or EVENTING in labelled, f"the cluster has a namespace {EVENTING}: the test's would take its place"
    ports = [{"name": "http", "port": 80, "targetPort": port}]
    slices = {"addressType": "IPv4", "endpoints": [{"addresses": [host]}], "ports": [{"name": "http", "port": port}]}
    kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": EVENTING, "labels": LENT}})
    kubectl.apply(
        {"apiVersion": "v1", "kind": "Service", "metadata": _named(INGRESS, EVENTING), "spec": {"ports": ports}},
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": _named(INGRESS, EVENTING, **{"kubernetes.io/service-name": INGRESS}),
            **slices,
        },
    )


def take_ingress(kubectl: Kubectl) -> None:
    kubectl.run("delete", "namespace", EVENTING, "--ignore-not-found")


def reach(kubectl: Kubectl, namespace: str, host: str) -> None:
    """Let the namespace's pods reach this machine, where the network holds to policies."""
    rule = {"to": [{"ipBlock": {"cidr": f"{host}/32"}}]}
    kubectl.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": _named("lent", namespace),
            "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]},
        }
    )


def lend_volume(kubectl: Kubectl, namespace: str, image: str) -> None:
    """A volume for the scheduler's journal on the node, where the cluster has no storage class that makes one."""
    if kubectl.run("get", "storageclass", "-o", "name"):
        return
    folder: dict[str, Any] = {"path": f"/var/tmp/{_JOURNAL}", "type": "DirectoryOrCreate"}
    claim = {"namespace": namespace, "name": "scheduler-journal"}
    spec = {"capacity": {"storage": "10Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": folder, "claimRef": claim}
    # A folder of the node is its root's until somebody opens it.
    opened = {
        "name": "open",
        "image": image,
        "command": ["/bin/python", "-c", "import os; os.chmod('/journal', 0o777)"],
        "securityContext": {"runAsUser": 0},
        "volumeMounts": [{"name": "journal", "mountPath": "/journal"}],
    }
    pod = {"restartPolicy": "Never", "containers": [opened], "volumes": [{"name": "journal", "hostPath": folder}]}
    kubectl.apply(
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": _JOURNAL, "labels": LENT}, "spec": spec},
        {"apiVersion": "v1", "kind": "Pod", "metadata": _named(_JOURNAL, "default"), "spec": pod},
    )
    until(
        lambda: kubectl.get("pod", _JOURNAL, "default")["status"]["phase"] == "Succeeded", "the journal's folder is open", 60
    )


def take_volume(kubectl: Kubectl) -> None:
    kubectl.run("delete", "pod", _JOURNAL, "-n", "default", "--ignore-not-found")
    kubectl.run("delete", "persistentvolume", _JOURNAL, "--ignore-not-found")


def _named(name: str, namespace: str, **labels: str) -> dict[str, Any]:
    return {"name": name, "namespace": namespace, "labels": LENT | labels}
