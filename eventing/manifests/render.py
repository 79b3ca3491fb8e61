"""Which resources a workflow needs, in which file each goes, and the text of those files."""

from __future__ import annotations

from typing import Any

import yaml

from eventing.manifests import resources
from eventing.workflow import Workflow

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


def files(workflow: Workflow, source: str = "", by: str = "make manifests") -> dict[str, str]:
    """File name -> YAML text of all resources of the workflow; `source` is its file, `by` what generates."""
    kinds = {
        "topics.yaml": _topics(workflow),
        "brokers.yaml": _brokers(workflow),
        "triggers.yaml": _triggers(workflow),
        "sources.yaml": _sources(workflow),
    }
    header = HEADER.format(source=source or f"eventing/workflows/{workflow.name}.yaml", by=by)
    return {name: header + _yaml(found) for name, found in kinds.items() if found}


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(found: list[resources.Resource]) -> str:
    return yaml.dump_all(found, Dumper=_Plain, sort_keys=False, explicit_start=True, width=120)
