"""The gateway and the tracker serve any workflow: its own opening, its own failure, its own answer."""

import json
from uuid import UUID, uuid4

import jsonschema
import pytest
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from eventing import workflow
from eventing.agent import StepKey
from eventing.envelope import Event, to_request
from eventing.runtime import Runtime
from eventing.state import Journal
from eventing.step import Steps
from eventing.testing import NOON, Broker, memory_bucket
from functions.gateway import main
from functions.tracker.tracking import Tracker
from schemas import Contract

TEXT = """
name: zoo
opens: zoo_visits
ends: [zoo_tales, request_failed]
steps:
  tell: {agent: teller, takes: [zoo_visits], answers: [zoo_tales]}
"""


class Visit(Contract, event="zoo_visits"):
    animal: str


class Tale(Contract, event="zoo_tales"):
    text: str


@pytest.fixture
def world(monkeypatch, tmp_path):
    (tmp_path / "zoo.yaml").write_text(TEXT)

    class World:
        broker, store = Broker(), memory_bucket()

    runtime = Runtime({}, clock=lambda: NOON)
    runtime.__dict__.update(
        workflow=workflow.load(tmp_path / "zoo.yaml"),
        store=World.store,
        publisher=World.broker,
        journal=Journal(World.store),
    )
    runtime.__dict__["steps"] = Steps(World.store, World.broker.publish, frozenset(runtime.workflow.ends))
    monkeypatch.setattr(main, "_runtime", lambda: runtime)
    routes = [Route("/{path:path}", main.function, methods=["GET", "POST"])]
    World.runtime, World.client = runtime, TestClient(Starlette(routes=routes))
    return World


def event(kind: str, source: str = "/me", **data: object) -> Event:
    attributes = {"specversion": "1.0", "id": "1", "source": source, "type": kind, "datacontenttype": "application/json"}
    return Event(attributes | {"time": NOON.isoformat()}, json.dumps(data).encode())


@pytest.mark.parametrize("collection", ["requests", "zoo"])
def test_a_request_is_opened_by_the_workflows_own_contract(world, collection):
    answer = world.client.post(f"/{collection}", json={"animal": "otter"})
    assert answer.status_code == 202, answer.text
    request_id = answer.json()["request_id"]
    assert answer.headers["location"] == f"/requests/{request_id}"
    (opened,) = world.broker.events
    assert (opened.type, json.loads(opened.data)) == ("zoo_visits", {"request_id": request_id, "animal": "otter"})
    assert world.client.get(answer.headers["location"]).json()["status"] == "running"
    assert world.client.get(f"/requests/{request_id}/answer").status_code == 404
    assert set(world.client.get("/requests").json()["properties"]) == {"request_id", "animal"}


def test_the_index_names_the_workflow_and_its_paths(world):
    text = world.client.get("/").text
    assert (
        "requests of the workflow zoo" in text
        and "/requests/{id}/answer" in text
        and "/research" not in text
        and "/report" not in text
    )


def test_what_is_described_is_the_workflows_own(world):
    told = world.client.get("/openapi.json").json()
    assert "zoo" in told["info"]["title"]
    assert set(told["paths"]) == {
        "/", "/dead", "/openapi.json", "/requests", "/requests/{id}", "/requests/{id}/answer", "/requests/{id}/events",
        "/requests/{id}/redrive", "/requests/{id}/trail",
    }  # fmt: skip
    named = {name: set(schema.get("properties", {})) for name, schema in told["components"]["schemas"].items()}
    assert told["paths"]["/requests"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"].endswith(
        "/VisitRequest"
    )
    assert named["VisitRequest"] == {"request_id", "animal"} and named["Tale"] == {"request_id", "text"}
    assert told["components"]["schemas"]["CloudEvent"]["properties"]["type"] == {"const": "zoo_visits"}
    assert not any(name.startswith("Research") for name in named)
    for route in told["paths"]:
        path = route.replace("{id}", str(uuid4()))
        assert world.client.get(path).headers["content-type"] != "application/problem+json" or "{id}" in route


def test_what_is_described_is_what_is_taken(world):
    schema = world.client.get("/openapi.json").json()["components"]["schemas"]["VisitRequest"]
    for body, sound in (
        ({"animal": "otter"}, True),
        ({"animal": 7}, False),
        ({}, False),
        ({"animal": "x", "colour": 1}, False),
    ):
        assert (world.client.post("/requests", json=body).status_code == 202) is sound
        assert jsonschema.Draft202012Validator(schema).is_valid(body) is sound


def test_what_breaks_the_contract_is_told(world):
    told = world.client.post("/requests", json={"animal": 7, "colour": "red"}).json()["detail"]
    assert "animal: Input should be a valid string (got 7)" in told and "colour: Extra inputs are not permitted" in told
    assert not world.broker.events


def test_a_cloudevent_opens_it_too(world):
    headers, body = to_request(event("zoo_visits", request_id=str(uuid4()), animal="vole"))
    assert world.client.post("/", content=body, headers=headers).status_code == 202
    assert world.broker.events[0].type == "zoo_visits"


async def test_the_answer_is_the_data_of_the_event_that_ended_it(world):
    request_id = UUID(world.client.post("/requests", json={"animal": "otter"}).json()["request_id"])
    key = StepKey(request_id, "tell")
    tale = event("zoo_tales", "/agents/teller/tell", request_id=str(request_id), text="It swam.").having(
        requestid=str(request_id)
    )

    async def run():
        return [tale]

    await world.runtime.steps.perform(key, "d", run)
    await world.runtime.journal.record(request_id, tale)
    assert world.client.get(f"/requests/{request_id}").json()["status"] == "complete"
    assert world.client.get(f"/requests/{request_id}/answer").json() == {"request_id": str(request_id), "text": "It swam."}


async def test_the_tracker_ends_it_with_the_workflows_own_failure(world):
    request_id = UUID(world.client.post("/requests", json={"animal": "otter"}).json()["request_id"])
    dead = world.broker.events[0].having(knativeerrorcode="422", failedstep="teller", reason="it cannot swim")
    await Tracker(world.runtime).take(dead)
    failed = next(e for e in world.broker.events if e.type == "request_failed")
    assert "it cannot swim" in json.loads(failed.data)["reason"]
    await world.runtime.journal.record(request_id, failed)
    state = world.client.get(f"/requests/{request_id}").json()
    assert state["status"] == "failed" and "it cannot swim" in state["reason"]
    assert "it cannot swim" in world.client.get(f"/requests/{request_id}/answer").json()["detail"]
