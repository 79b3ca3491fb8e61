"""Which resources a workflow needs, in which file each goes, and the text of those files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from eventing.manifests import policies, resources, serving
from eventing.workflow import Workflow

REGISTRY = "registry.example.com"  # to be named by whoever applies the kustomization: kustomize edit set image
MAILING = "notifier"  # the one function that reaches a mail server
PLATFORM_EVENTS = "platform_events"  # what the platform tells of itself: changes of circuit breakers
HEADER = "# Generated from {source} by `{by}`; change that file, not this one.\n"


def topics(workflow: Workflow) -> list[str]:
    """Every topic of the workflow, dead letters, inbox and the platform's own events included."""
    extra = [
        workflow.dead_letters,
        workflow.tracker_dead_letters,
        PLATFORM_EVENTS,
        *([workflow.inbox.topic] if workflow.inbox else []),
    ]
    return list(dict.fromkeys([*workflow.topics, *extra]))


def _topics(workflow: Workflow) -> list[resources.Resource]:
    return [resources.topic(workflow, name, compacted=name == "workflow_state") for name in topics(workflow)]


def _brokers(workflow: Workflow) -> list[resources.Resource]:
    inbox = workflow.inbox.topic if workflow.inbox else None
    return [resources.broker(workflow, name) for name in topics(workflow) if name != inbox]


def _triggers(workflow: Workflow) -> list[resources.Resource]:
    return [resources.trigger(workflow, step, event) for step in workflow.steps for event in step.takes]


def _sources(workflow: Workflow) -> list[resources.Resource]:
    found = []
    if tracker := workflow.tracker:
        watched = [t for t in workflow.topics if t != "workflow_state"] + [workflow.dead_letters]
        found.append(
            resources.kafka_source(workflow, tracker.agent, watched, tracker.agent, "", workflow.tracker_dead_letters)
        )
        found.append(resources.ping_source(workflow, f"{tracker.agent}_tick", tracker.every, tracker.agent, "/tick"))
    if inbox := workflow.inbox:
        found.append(
            resources.kafka_source(workflow, inbox.topic, [inbox.topic], inbox.agent, inbox.path, workflow.dead_letters)
        )
    return found


def image(function: str) -> str:
    """The name by which the manifests call a function's image; a kustomization says which one it is."""
    return f"torpor/{function}"


def _namespace(functions: Sequence[Path]) -> list[resources.Resource]:
    return [policies.namespace(), *(policies.account(folder.name) for folder in functions)]


def _policies(workflow: Workflow, functions: Sequence[Path]) -> list[resources.Resource]:
    names = {folder.name for folder in functions}
    waking = [policies.waking()] if workflow.prewake else []
    mailing = [policies.mailing(MAILING)] if MAILING in names else []
    events = [policies.events(workflow, event, who) for event, who in _publishers(workflow).items()]
    return [policies.closed(), policies.reachable(), policies.reaching(), *waking, *mailing, policies.browsing(), *events]


def _publishers(workflow: Workflow) -> dict[str, list[str]]:
    """Event -> the functions that publish it."""
    found: dict[str, list[str]] = {workflow.opens: ["gateway"]}
    pairs = [(event, step.agent) for step in workflow.steps for event in step.answers]
    if tracker := workflow.tracker:
        pairs += [(event, tracker.agent) for event in tracker.answers]
    for event, agent in pairs:
        if agent not in (who := found.setdefault(event, [])):
            who.append(agent)
    return found


def _services(functions: Sequence[Path]) -> list[resources.Resource]:
    return [serving.service(folder, image(resources.kubernetes_name(folder.name))) for folder in functions]


def _kustomization(names: Sequence[str], functions: Sequence[Path]) -> resources.Resource:
    images = [image(resources.kubernetes_name(folder.name)) for folder in functions]
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": list(names),
        "images": [{"name": name, "newName": f"{REGISTRY}/{name}", "newTag": "latest"} for name in images],
    }


def files(
    workflow: Workflow, source: str = "", by: str = "make manifests", functions: Sequence[Path] = ()
) -> dict[str, str]:
    """File name -> YAML text of all resources of the workflow.

    Args:
        source: the workflow's file.
        by: what generates them.
        functions: the folders of its functions; without them no Services and no policies are made.

    Raises:
        ConfigurationError: a func.yaml says something that has no place in a Service.
    """
    kinds = {
        "topics.yaml": _topics(workflow),
        "brokers.yaml": _brokers(workflow),
        "triggers.yaml": _triggers(workflow),
        "sources.yaml": _sources(workflow),
    }
    if functions:
        kinds |= {
            "namespace.yaml": _namespace(functions),
            "policies.yaml": _policies(workflow, functions),
            "services.yaml": _services(functions),
        }
        kinds["kustomization.yaml"] = [_kustomization(sorted(kinds), functions)]
    header = HEADER.format(source=source or f"eventing/workflows/{workflow.name}.yaml", by=by)
    return {name: header + _yaml(found) for name, found in kinds.items() if found}


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(found: list[resources.Resource]) -> str:
    return yaml.dump_all(found, Dumper=_Plain, sort_keys=False, explicit_start=True, width=120)
