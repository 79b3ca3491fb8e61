"""The topics' AsyncAPI 3.0 description, made from the workflow file and the contracts."""

from __future__ import annotations

from typing import Any

import yaml

from eventing.manifests.render import topics
from eventing.manifests.resources import RETENTION_MS
from eventing.workflow import Step, Workflow
from schemas.contract import EventData, every_event

Doc = dict[str, Any]

_DEAD = {"knativeerrordest": "where it could not be delivered", "knativeerrorcode": "the last answer's HTTP status",
         "knativeerrordata": "the last answer's first 1,024 bytes, base64", "failedstep": "the agent that failed",
         "reason": "why, percent-encoded", "error": "the error's name"}  # fmt: skip
_HEADERS = {
    "ce_specversion": "1.0",
    "ce_id": "the same on every run of the step that answered with it",
    "ce_source": "/agents/<agent>/<step>",
    "ce_type": "the event's type, which is its topic's name",
    "ce_time": "RFC 3339",
    "ce_subject": "the request's id",
    "ce_dataschema": "/schemas/<type>/v<version>",
    "ce_partitionkey": "the request's id, which is the record's key",
    "ce_requestid": "the request's id",
    "ce_part": "which part of the request, from 1",
    "ce_revision": "how often the part was revised",
    "ce_deadline": "when the request must have ended, RFC 3339",
    "ce_budgettokens": "how many tokens may still be spent below this event",
    "ce_edition": "which edition of the request, from 1, where it was taken up again after it had ended",
    "ce_rerun": "the edition that began anew what the event belongs to, where one did",
    "ce_addressee": "the agent that alone takes the event, where it was sent again",
    "ce_redriven": "how often the event was sent again within its edition",
    "ce_workflow": "the workflow's name",
    "ce_targetversion": "which version of an agent shall take it (canaries)",
    "ce_cause": "id of the event that the step took",
    "ce_durationms": "what the step took; said once, by its first answer",
    "ce_tokens": "what the step's model calls used",
    "ce_refusedcalls": "how many model calls of the step the request's token budget had no room for",
    "ce_cost": "what they cost as the scheduler says, `0.001234 EUR`; absent where no price is known",
    "ce_coldstart": "whether the agent had to be woken",
    "ce_dataref": "where the data lies in the bucket, when it is above 64 KiB",
    "ce_traceparent": "W3C trace context",
    "ce_tracestate": "W3C trace context",
    "content-type": "application/json",
}
_REQUIRED = ["ce_specversion", "ce_id", "ce_source", "ce_type"]


def document(workflow: Workflow) -> Doc:
    """The description as an object."""
    schemas: Doc = {}
    contracts = {name: contract for name, contract in every_event().items() if name in topics(workflow)}
    messages = {name: _message(name, contract, schemas) for name, contract in contracts.items()}
    messages |= {"dead_letter": _dead_letter(), **({"record": _record()} if workflow.inbox else {})}
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": f"Torpor: the topics of the workflow {workflow.name}",
            "version": "1.0.0",
            "description": f"A request opens with {workflow.opens} and ends with one of {', '.join(workflow.ends)}. "
            "CloudEvents 1.0 in Kafka binary mode, keyed by the request's id.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "127.0.0.1:19092", "protocol": "kafka", "description": "The local platform's Kafka."},
            "cluster": {
                "host": "torpor-kafka-bootstrap.kafka.svc.cluster.local:9092",
                "protocol": "kafka",
                "description": "A cluster's; events are put in through the Brokers' ingress.",
            },
        },
        "channels": {name: _channel(name, workflow) for name in topics(workflow)},
        "operations": _operations(workflow),
        "components": {
            "messages": messages,
            "messageTraits": {"cloudevent": _trait()},
            "schemas": dict(sorted(schemas.items())),
        },
    }


def text(workflow: Workflow) -> str:
    """The description as the file that is committed."""
    header = f"# Generated from eventing/workflows/{workflow.name}.yaml and schemas/ by `make apis`.\n"
    return header + yaml.dump(document(workflow), Dumper=_Plain, sort_keys=False, width=120)


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _carried(topic: str, workflow: Workflow) -> str:
    if topic in (workflow.dead_letters, workflow.tracker_dead_letters):
        return "dead_letter"
    return "record" if workflow.inbox and topic == workflow.inbox.topic else topic


def _channel(topic: str, workflow: Workflow) -> Doc:
    message = _carried(topic, workflow)
    compacted = topic == "workflow_state"
    config = {"cleanup.policy": ["compact"]} if compacted else {"cleanup.policy": ["delete"], "retention.ms": RETENTION_MS}
    return {
        "address": topic,
        "messages": {message: {"$ref": f"#/components/messages/{message}"}},
        "bindings": {"kafka": {"topic": topic, "partitions": workflow.partitions, "topicConfiguration": config}},
    }


def _operations(workflow: Workflow) -> Doc:
    found: Doc = {}
    for step in workflow.steps:
        for kind, action, names in (("takes", "receive", step.takes), ("answers", "send", step.answers)):
            for event in names:
                found[f"{step.name}_{kind}_{event}"] = _operation(action, event, event, step.agent, _told(step))
    if tracker := workflow.tracker:
        for event in (*(t for t in workflow.topics if t != "workflow_state"), workflow.dead_letters):
            message = _carried(event, workflow)
            found[f"track_takes_{event}"] = _operation("receive", event, message, tracker.agent, "Folds what happens.")
        for event in tracker.answers:
            found[f"track_answers_{event}"] = _operation("send", event, event, tracker.agent, "Says where a request stands.")
    if inbox := workflow.inbox:
        found[f"{inbox.agent}_takes_{inbox.topic}"] = _operation(
            "receive", inbox.topic, "record", inbox.agent, "Makes a request of a plain record."
        )
        found[f"{inbox.agent}_answers_{workflow.opens}"] = _operation(
            "send", workflow.opens, workflow.opens, inbox.agent, "Opens a request."
        )
    return found


def _operation(action: str, topic: str, message: str, agent: str, told: str) -> Doc:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{topic}"},
        "messages": [{"$ref": f"#/channels/{topic}/messages/{message}"}],
        "summary": told,
        "tags": [{"name": agent}],
    }


def _told(step: Step) -> str:
    bounds = [f"at most {step.fan_out} answers, one a part"] if step.fan_out else []
    bounds += ["waits for every part of the request"] if step.join else []
    bounds += [f"at most {step.revisions} revisions of a part"] if step.revisions else []
    return f"Step {step.name} of {step.agent}" + "".join(f"; {bound}" for bound in bounds)


def _message(name: str, contract: type[EventData], schemas: Doc) -> Doc:
    schema = contract.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas.update(schema.pop("$defs", {}))
    schemas[contract.__name__] = schema
    return {
        "name": name,
        "title": contract.__name__,
        "summary": (contract.__doc__ or "").strip().partition("\n")[0],
        "payload": {"$ref": f"#/components/schemas/{contract.__name__}"},
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
    }


def _dead_letter() -> Doc:
    told = {f"ce_{name}": {"type": "string", "description": said} for name, said in _DEAD.items()}
    return {
        "name": "dead_letter",
        "title": "Dead letter",
        "summary": "An event that could not be handled after all its retries, as it was, with what went wrong beside it.",
        "headers": {"type": "object", "properties": told, "required": ["ce_knativeerrordest"]},
        "payload": {"description": "the data of the event that died"},
        "traits": [{"$ref": "#/components/messageTraits/cloudevent"}],
    }


def _record() -> Doc:
    return {
        "name": "record",
        "title": "Plain record",
        "summary": "JSON of a producer that knows no CloudEvents; see ResearchRequest in the gateway's OpenAPI description.",
        "payload": {"type": "object", "required": ["topic"]},
    }


def _trait() -> Doc:
    properties: Doc = {name: {"type": "string", "description": told} for name, told in _HEADERS.items()}
    return {
        "contentType": "application/json",
        "headers": {"type": "object", "properties": properties, "required": _REQUIRED},
        "bindings": {"kafka": {"key": {"type": "string", "format": "uuid"}}},
    }
