"""The gateway's OpenAPI 3.1 description, made from its routes and the contracts."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaMode

from eventing.apis.routes import ROUTES, STRUCTURED, Route
from schemas.gateway import Problem

Doc = dict[str, Any]
_ATTRIBUTE = "^[^\\u0000-\\u001f\\u007f-\\u009f]*$"

_INFO = {
    "title": "Torpor gateway",
    "version": "1",
    "summary": "Ask for a report, watch it being made, read it.",
    "description": "Events travel through Kafka; this is the door for people and for producers that know no CloudEvents.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
}
_TAGS = [
    {"name": "requests", "description": "Asking, watching, reading."},
    {"name": "platform", "description": "For the platform and for tools."},
]
_ID: Doc = {
    "name": "id",
    "in": "path",
    "required": True,
    "description": "the request's id",
    "schema": {"type": "string", "format": "uuid"},
}


def document(routes: tuple[Route, ...] = ROUTES, workflow: str = "research") -> Doc:
    """The description of a workflow's routes as an object."""
    info = _INFO if workflow == "research" else {**_INFO, **_about(workflow)}
    schemas: Doc = {}
    paths: Doc = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    responses = {
        f"problem-{status}": _problem(status, schemas) for status in sorted({s for r in routes for s in r.problems})
    }
    return {
        "openapi": "3.1.1",
        "info": info,
        "servers": [{"url": "/"}],
        "tags": _TAGS,
        "paths": paths,
        "components": {"responses": responses, "schemas": dict(sorted(schemas.items()))},
    }


def _about(workflow: str) -> Doc:
    return {
        "title": f"Torpor gateway of the workflow {workflow}",
        "summary": "Open a request, watch it being done, read what it ended with.",
    }


def text(routes: tuple[Route, ...] = ROUTES, workflow: str = "research") -> str:
    """The description as it is served; that of `research` is committed."""
    return json.dumps(document(routes, workflow), indent=2) + "\n"


def _operation(route: Route, schemas: Doc) -> Doc:
    parameters = [_header(name) for name in route.headers]
    if "{id}" in route.path:
        parameters.append(_ID)
    if route.name == "progress":
        described = "id of the last event that was seen"
        parameters.append({"name": "Last-Event-ID", "in": "header", "description": described, "schema": {"type": "string"}})
    parameters += [{"name": q.name, "in": "query", "description": q.what, "schema": q.schema} for q in route.query]
    problems = {str(status): {"$ref": f"#/components/responses/problem-{status}"} for status in sorted(route.problems)}
    found: Doc = {"operationId": route.name, "tags": [route.tag], "summary": route.summary}
    if route.note:
        found["description"] = route.note
    if parameters:
        found["parameters"] = parameters
    if route.body is not None:
        found["requestBody"] = {"required": True, "content": {route.body_media: {"schema": _body(route, schemas)}}}
    return {**found, "responses": {str(route.status): _answer(route, schemas), **problems}}


def _header(name: str) -> Doc:
    rule: Doc = {"const": "1.0"} if name == "ce-specversion" else {"type": "string", "pattern": "^[!-~]+$"}
    return {"name": name, "in": "header", "required": True, "schema": rule}


def _body(route: Route, schemas: Doc) -> Doc:
    data = _schema(route.body, "validation", schemas)
    if route.body_media != STRUCTURED:
        return data
    schemas["CloudEvent"] = _event(route.body.event, data)
    return {"$ref": "#/components/schemas/CloudEvent"}


def _event(kind: str, data: Doc) -> Doc:
    """A CloudEvent of one type in the JSON event format; an attribute that is null is absent."""
    attribute = {"type": "string", "minLength": 1, "pattern": _ATTRIBUTE}
    moment: Doc = {"type": ["string", "null"], "format": "date-time"}
    return {
        "type": "object",
        "description": "A CloudEvent 1.0; any extension attribute may stand beside these.",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": attribute,
            "source": attribute,
            "type": {"const": kind},
            "time": moment,
            "deadline": {**moment, "description": "when the request must have ended"},
            "data": data,
        },
        "propertyNames": {"pattern": "^[a-z0-9]{1,64}$"},
        "additionalProperties": {"type": ["string", "integer", "boolean", "null"], "pattern": _ATTRIBUTE},
    }


def _answer(route: Route, schemas: Doc) -> Doc:
    found: Doc = {"description": route.answer}
    if route.media:
        schema: Doc = {"type": "string"}
        if route.media.endswith("json"):
            schema = _schema(route.model, "serialization", schemas) if route.model else {"type": "object"}
        found["content"] = {route.media: {"schema": schema}}
    if route.status == HTTPStatus.ACCEPTED:
        found["headers"] = {
            "Location": {"description": "where the request stands", "schema": {"type": "string", "format": "uri-reference"}}
        }
        found["links"] = {
            name: {"operationId": name, "parameters": {"id": "$response.body#/request_id"}} for name in ("state", "trail")
        }
    return found


def _problem(status: int, schemas: Doc) -> Doc:
    content: Doc = {"application/problem+json": {"schema": _schema(Problem, "serialization", schemas)}}
    if status == HTTPStatus.NOT_FOUND:
        content["text/plain"] = {
            "schema": {"type": "string"}
        }  # functions-framework's own, of a path that no function is given
    found: Doc = {"description": HTTPStatus(status).phrase, "content": content}
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        told = "seconds after which it is worth asking again"
        found["headers"] = {"Retry-After": {"description": told, "schema": {"type": "integer", "minimum": 1}}}
    return found


def _schema(of: Any, mode: JsonSchemaMode, schemas: Doc) -> Doc:
    """The schema of a type; the models that it is made of go into `schemas`."""
    made = TypeAdapter(of).json_schema(mode=mode, ref_template="#/components/schemas/{model}")
    schemas.update(made.pop("$defs", {}))
    if title := made.get("title") if made.get("type") == "object" else None:
        schemas[title] = made
        return {"$ref": f"#/components/schemas/{title}"}
    return made
