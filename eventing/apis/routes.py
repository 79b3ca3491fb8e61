"""Every route of the gateway: the gateway routes by this table, and its OpenAPI description is made from it."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import or_
from typing import Any

from pydantic import BaseModel

from eventing.deadletters import NAME
from eventing.workflow import Workflow
from schemas import Contract, ResearchQuery, WorkflowState, contract_for
from schemas.gateway import Accepted, DeadLetters, Redriven, ResearchRequest, TrailEvent

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
UUID = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

# What can be wrong with a body that is taken in; 429: as many requests are open as the models' scheduler takes; 503: the
# broker or the bucket did not take it, nothing is half done.
_INTAKE = (400, 409, 413, 422, 429, 503)


@dataclass(frozen=True)
class Query:
    """A parameter that a route takes in its query; none of them is needed."""

    name: str
    what: str
    schema: dict[str, Any]


_EDITION = Query(
    "edition", "of the request, where it was taken up again", {"type": "integer", "minimum": 0, "maximum": 9999}
)


@dataclass(frozen=True)
class Route:
    """One route; `name` is its handler's and its operation's."""

    name: str
    method: str
    path: str
    summary: str
    status: int
    answer: str  # what the answer is, in words
    media: str | None = None
    model: Any = None  # the type of a JSON answer
    body: Any = None  # the type of what is sent; of an event's data where `body_media` is that of an event
    body_media: str = JSON
    problems: tuple[int, ...] = ()
    tag: str = "requests"
    headers: tuple[str, ...] = ()  # of a CloudEvent in binary mode, where it can come in no other
    note: str = ""
    query: tuple[Query, ...] = ()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a path of this route matches; `{id}` is a UUID."""
        return re.compile(self.path.replace(".", r"\.").replace("{id}", f"(?P<id>{UUID.pattern})"))


ROUTES = (
    Route(
        "ask", "POST", "/research", "Ask for a report", 202, "taken; where it will be found", JSON, Accepted,
        body=ResearchRequest, problems=(*_INTAKE, 415),
        note="The same body with the same request_id is the same request, however often it is sent.",
    ),
    Route(
        "opening", "GET", "/research", "The JSON Schema of what is asked with", 200, "a JSON Schema",
        "application/schema+json", dict[str, Any],
    ),
    Route(
        "state", "GET", "/research/{id}", "Where a request stands", 200, "the state",
        JSON, WorkflowState, problems=(404, 503),
    ),
    Route(
        "progress", "GET", "/research/{id}/events", "Its progress, as server-sent events", 200,
        "a stream: a message an event, others named `tokens` with what models say, the last named `end` with the state",
        "text/event-stream", problems=(404, 503),
        note="A client that comes back with Last-Event-ID goes on where it was, nothing twice, nothing left out. A stream "
        "ends before the gateway's time limit, and says `retry`: come back. The data of `tokens` is JSON: `call`, whose "
        "it is (`agent`, `step`, `part`, `revision`), and `text`, which goes on after `at` characters "
        "(what was beyond is void; 0 for a known call: it was begun anew); `done` at its end.",
    ),
    Route(
        "trail", "GET", "/research/{id}/trail", "Every event of it, with ids, times and causes", 200, "the events, by time",
        JSON, list[TrailEvent], problems=(404, 503),
    ),
    Route(
        "answer", "GET", "/research/{id}/answer", "What it ended with: the data of its last event", 200, "the data", JSON,
        dict[str, Any], problems=(404, 503),
    ),
    Route(
        "redrive_plan", "GET", "/research/{id}/redrive", "What would be sent on; nothing is", 200, "what would be",
        JSON, Redriven, problems=(404, 409, 503),
    ),
    Route(
        "redrive", "POST", "/research/{id}/redrive", "Send it on from where it failed", 202, "what was sent again", JSON,
        Redriven, problems=(404, 409, 429, 503),
        note="Dead letters go to the agent that failed. A request that has failed, or whose parts were abandoned, goes on "
        "as a new edition, with a deadline and a token budget of its own; nothing that was done is done or paid for again.",
    ),
    Route(
        "report", "GET", "/report/{id}", "The report", 200, "a page", "text/html", problems=(404, 503), query=(_EDITION,),
    ),
    Route(
        "report_markdown", "GET", "/report/{id}.md", "The report as Markdown", 200, "a text", "text/markdown",
        problems=(404, 503), query=(_EDITION,),
    ),
    Route(
        "report_json", "GET", "/report/{id}.json", "The report as JSON, with citations and sources", 200, "an object", JSON,
        dict[str, Any], problems=(404, 503), query=(_EDITION,),
    ),
    Route(
        "report_pdf", "GET", "/report/{id}.pdf", "The report as a PDF", 200, "a document", "application/pdf",
        problems=(404, 503), query=(_EDITION,),
    ),
    Route(
        "report_bibtex", "GET", "/report/{id}.bib", "Its sources as BibTeX", 200, "a text", "application/x-bibtex",
        problems=(404, 503), query=(_EDITION,),
    ),
    Route(
        "report_csl", "GET", "/report/{id}.csl.json", "Its sources as CSL JSON", 200, "a list",
        "application/vnd.citationstyles.csl+json", list[dict[str, Any]], problems=(404, 503), query=(_EDITION,),
    ),
    Route(
        "report_evidence", "GET", "/report/{id}.evidence.json", "The record that `torpor audit` checks it by", 200,
        "an object", JSON, dict[str, Any], problems=(404, 503), query=(_EDITION,),
    ),
    Route(
        "event", "POST", "/", "Ask by a CloudEvent of the type that opens a request", 202, "taken; where it will be found",
        JSON, Accepted, body=ResearchQuery, body_media=STRUCTURED, problems=(*_INTAKE, 415),
        note="Described is the structured mode; the binary mode (ce-* headers, the data as body) is taken as well.",
    ),
    Route(
        "intake", "POST", "/intake", "A plain record of the inbox topic, brought by its KafkaSource", 204, "taken",
        body=ResearchRequest, problems=(*_INTAKE, 415), tag="platform",
        headers=("ce-specversion", "ce-id", "ce-source", "ce-type"),
    ),
    Route(
        "dead", "GET", "/dead", "The dead letters that wait: what nobody could handle, and why", 200,
        "a page of them, the oldest first", JSON, DeadLetters, problems=(422, 503), tag="platform",
        query=(
            Query("agent", "of the agent that failed", {"type": "string"}),
            Query("request", "of one request", {"type": "string", "format": "uuid"}),
            Query("sent", "whether those are told, too, that were sent again", {"type": "boolean", "default": False}),
            Query("after", "the `next` of the page before", {"type": "string", "pattern": f"^{NAME.pattern}$"}),
        ),
    ),
    Route("openapi", "GET", "/openapi.json", "This description", 200, "an OpenAPI 3.1 document", JSON, tag="platform"),
    Route("index", "GET", "/", "The routes, for people", 200, "one line a route", "text/plain", tag="platform"),
)  # fmt: skip


def of(workflow: Workflow, opens: type[Contract], asked: type[BaseModel]) -> tuple[Route, ...]:
    """The routes as a workflow has them: opened by its own contract (`asked` is what people send), ended by its own."""
    if opens is ResearchQuery:
        return ROUTES
    collection = f"/{collection_of(workflow)}"
    own = {ResearchRequest: asked, ResearchQuery: opens}
    ends = reduce(or_, map(contract_for, workflow.ends))
    return tuple(
        replace(
            route,
            path=route.path.replace("/research", collection),
            summary="Open a request" if route.name == "ask" else route.summary.replace("Ask by", "Open one by"),
            body=own.get(route.body, route.body),
            model=ends if route.name == "answer" else route.model,
        )
        for route in ROUTES
        if not route.path.startswith("/report") and (workflow.inbox is not None or route.name != "intake")
    )


def collection_of(workflow: Workflow) -> str:
    """What a workflow's requests lie under; the gateway takes its name and `requests` alike."""
    return "research" if workflow.name == "research" else "requests"


def index(routes: tuple[Route, ...], workflow: str) -> str:
    """The routes as text, one line each."""
    lines = [f"  {route.method:<5} {route.path:<24} {route.summary}" for route in routes]
    whose = "research requests" if workflow == "research" else f"requests of the workflow {workflow}"
    return "\n".join([f"Torpor takes {whose}.", "", *lines, ""])
