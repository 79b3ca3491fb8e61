"""Who a function is on the cluster and what it may reach: namespace, ServiceAccounts, NetworkPolicies, EventPolicies."""

from __future__ import annotations

from typing import Any

from eventing.manifests.resources import NAMESPACE, Resource, kubernetes_name
from eventing.publishing import broker_of
from eventing.workflow import Workflow

PART_OF = {"app.kubernetes.io/part-of": "torpor"}
_SERVED = "serving.knative.dev/service"  # Serving's label on the pods of a Service
_NAME = "kubernetes.io/metadata.name"
INGRESSES = ("knative-serving", "kourier-system", "istio-system", "contour-external", "contour-internal")
CALLERS = (*INGRESSES, "knative-eventing", "monitoring")
STORE, MAIL, WEB = "torpor.dev/store", "torpor.dev/mail", "torpor.dev/web"
PRIVATE = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8"]


def namespace() -> Resource:
    """The namespace, in which only pods run that meet the Pod Security Standard `restricted`."""
    modes = {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": PART_OF | modes}}


def account(function: str) -> Resource:
    """A function's ServiceAccount, without a token in its pods."""
    return {**_head("v1", "ServiceAccount", function), "automountServiceAccountToken": False}


def closed() -> Resource:
    """Nothing in, nothing out, but for what the other policies allow."""
    spec = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return {**_policy("default-deny"), "spec": spec}


def reachable() -> Resource:
    """The functions are called by Serving, Eventing and the ingress; Prometheus reads their metrics."""
    peers = [{"namespaceSelector": {"matchExpressions": [{"key": _NAME, "operator": "In", "values": list(CALLERS)}]}}]
    return {
        **_policy("functions-in"),
        "spec": {"podSelector": _functions(), "policyTypes": ["Ingress"], "ingress": [{"from": peers}]},
    }


def reaching() -> Resource:
    """The functions reach DNS, the Brokers' ingress, the scheduler and the store."""
    rules = [
        _rule({"namespaceSelector": {"matchLabels": {_NAME: "kube-system"}}}, *_both(53)),
        _rule(
            {
                "namespaceSelector": {"matchLabels": {_NAME: "knative-eventing"}},
                "podSelector": {"matchLabels": {"app": "kafka-broker-receiver"}},
            },
            {"protocol": "TCP", "port": 8080},
        ),
        _rule({"podSelector": {"matchLabels": {"app.kubernetes.io/name": "scheduler"}}}, {"protocol": "TCP", "port": 8091}),
        _rule(_labelled(STORE)),
    ]
    return {**_policy("functions-out"), "spec": {"podSelector": _functions(), "policyTypes": ["Egress"], "egress": rules}}


def waking() -> Resource:
    """The functions reach Services through the ingress, so that one at work can wake the next."""
    expression = {"key": _NAME, "operator": "In", "values": list(INGRESSES)}
    rules = [_rule({"namespaceSelector": {"matchExpressions": [expression]}})]
    return {
        **_policy("functions-wake"),
        "spec": {"podSelector": _functions(), "policyTypes": ["Egress"], "egress": rules},
    }


def mailing(function: str) -> Resource:
    """The one function that sends mail reaches the mail server."""
    selector = {"matchLabels": {_SERVED: function}}
    rules = [
        _rule(_labelled(MAIL)),
        {"to": [_outside()], "ports": [{"protocol": "TCP", "port": port} for port in (465, 587)]},
    ]
    return {**_policy(f"{function}-mail"), "spec": {"podSelector": selector, "policyTypes": ["Egress"], "egress": rules}}


def browsing() -> Resource:
    """Pods labelled torpor.dev/web=true reach the web, for a store or sources outside the cluster; none has it by itself."""
    selector = {"matchLabels": {WEB: "true"}}
    rules = [{"to": [_outside()], "ports": [{"protocol": "TCP", "port": 443}]}]
    return {**_policy("web-out"), "spec": {"podSelector": selector, "policyTypes": ["Egress"], "egress": rules}}


def events(workflow: Workflow, event: str, publishers: list[str]) -> Resource:
    """Who may publish an event: takes effect where the feature `authentication-oidc` is on."""
    to = {"apiVersion": "eventing.knative.dev/v1", "kind": "Broker", "name": broker_of(event)}
    allowed = [{"sub": f"system:serviceaccount:{NAMESPACE}:{kubernetes_name(name)}"} for name in publishers]
    head = _head("eventing.knative.dev/v1alpha1", "EventPolicy", broker_of(event))
    head["metadata"]["labels"] = PART_OF | {"torpor.dev/workflow": workflow.name}
    return {**head, "spec": {"to": [{"ref": to}], "from": allowed}}


def _head(api: str, kind: str, name: str) -> Resource:
    return {
        "apiVersion": api,
        "kind": kind,
        "metadata": {"name": kubernetes_name(name), "namespace": NAMESPACE, "labels": PART_OF},
    }


def _policy(name: str) -> Resource:
    return _head("networking.k8s.io/v1", "NetworkPolicy", name)


def _functions() -> Resource:
    return {"matchExpressions": [{"key": _SERVED, "operator": "Exists"}]}


def _rule(peer: Resource, *ports: Resource) -> Resource:
    return {"to": [peer], **({"ports": list(ports)} if ports else {})}


def _labelled(label: str) -> Resource:
    """What runs in namespaces that the cluster's administrator has labelled so."""
    return {"namespaceSelector": {"matchLabels": {label: "true"}}}


def _outside() -> Resource:
    return {"ipBlock": {"cidr": "0.0.0.0/0", "except": PRIVATE}}


def _both(port: int) -> list[dict[str, Any]]:
    return [{"protocol": protocol, "port": port} for protocol in ("UDP", "TCP")]
