"""The HTTP side: what it takes, what it refuses and how it says so; nothing refused is ever published."""

import asyncio
import functools
import hashlib
import io
import json
import re
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from pypdf import PdfReader
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from eventing.cli import asking, gateway
from eventing.editions import suffix
from eventing.envelope import Event, to_json, to_request
from eventing.errors import StoreError
from eventing.runtime import Runtime
from eventing.state import Journal
from eventing.step import Steps
from eventing.testing import NOON, REQUEST, Broker, context, memory_bucket
from eventing.testing.shelf import Shelf
from functions.accounts import PATIENCE_S, Desk
from functions.formatter.agent import handle
from functions.formatter.findings import arranged
from functions.formatter.texts import as_json
from functions.gateway import main
from inference.errors import InferenceError, ModelRefusedError, ModelUnavailableError
from inference.testing import FakeModel, FakeServer
from inference.transport import refusal
from schemas import ResearchQuery
from tests.browser.results import full
from tests.inference.scheduler.conftest import pools_of, scheduler, server_of


@pytest.fixture
def world(monkeypatch):
    class World:
        broker, now = Broker(), NOON

    World.broker = Broker()
    runtime = Runtime({}, clock=lambda: World.now)
    store = memory_bucket()
    runtime.__dict__.update(store=store, publisher=World.broker, journal=Journal(store))
    runtime.__dict__["steps"] = Steps(store, World.broker.publish, frozenset(runtime.workflow.ends))
    monkeypatch.setattr(main, "_runtime", lambda: runtime)
    monkeypatch.setattr(main, "_desk", lambda: World.desk)
    World.desk = Desk(None)
    methods = ["GET", "POST", "PUT", "DELETE"]
    World.client = TestClient(Starlette(routes=[Route("/{path:path}", main.function, methods=methods)]))
    World.runtime, World.store = runtime, store
    return World


def test_a_request_is_accepted_and_published_with_what_its_steps_need(world):
    answer = world.client.post("/research", json={"topic": "sleep", "depth": 3, "metadata": {"email": "a@b.c"}})
    assert answer.status_code == 202
    request_id = answer.json()["request_id"]
    assert answer.headers["location"] == f"/research/{request_id}"
    (event,) = world.broker.events
    assert (event.type, event.get("partitionkey"), event.get("budgettokens")) == ("research_requests", request_id, "60000")
    assert event.get("deadline") == (NOON + timedelta(minutes=30)).isoformat()
    assert json.loads(event.data)["depth"] == 3
    state = world.client.get(f"/research/{request_id}").json()
    assert (state["status"], state["topic"]) == ("running", "sleep")


@pytest.mark.parametrize("fresh", [True, False])
def test_what_torpor_ask_is_told_comes_with_the_request(world, monkeypatch, fresh):
    def call(method, url, body=None):
        return world.client.request(method, url, json=body).raise_for_status().content

    monkeypatch.setattr(gateway, "call", call)
    asking.post("", "sleep", 1, "a@b.c", "zoo", fresh)
    (event,) = world.broker.events
    metadata = ResearchQuery.model_validate_json(event.data).metadata
    assert (metadata.fresh, metadata.email, metadata.sources) == (fresh, "a@b.c", "zoo")


def test_curl_without_a_content_type_is_understood(world):
    answer = world.client.post(
        "/research", content=b'{"topic": "x", "depth": 2}', headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert answer.status_code == 202


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        ({"topic": "x", "depth": 0}, 422, "depth: Input should be greater than or equal to 1 (got 0)"),
        ({"topic": "x", "depth": 9}, 422, "depth: Input should be less than or equal to 5 (got 9)"),
        ({"topic": "x", "depth": "two"}, 422, "depth: Input should be a valid integer (got 'two')"),
        ({"topic": ""}, 422, "topic: String should have at least 1 character (got '')"),
        ({"topic": " \t\u00a0\n"}, 422, "topic: Value error, must say something: it holds nothing but blanks"),
        ({"depth": 1}, 422, "topic: Field required (got absent)"),
        ({"topic": "x", "colour": "red"}, 422, "colour: Extra inputs are not permitted (got 'red')"),
        ({"topic": "x", "metadata": {"email": "a@b\r\nBcc: all"}}, 422, "metadata.email: String should match pattern"),
        ({"topic": "x" * 1_000_000}, 413, "the body is larger than 262144 bytes"),
        ({"topic": "x" * 3_000}, 422, "topic: String should have at most 2000 characters"),
        (b"{not json", 400, "the body is no JSON"),
        (b'{"topic": "x", "metadata": {"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}", 400, "nested more than 100 deep"),
        (b'{"topic": "x", "metadata": {"a": NaN}}', 400, "NaN is no JSON"),
        (b"[]", 422, "(all)"),
    ],
)
def test_a_bad_request_is_told_what_is_wrong_and_nothing_is_published(world, body, status, told):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = world.client.post("/research", content=content, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert told in answer.json()["detail"]
    assert not world.broker.events


def test_another_content_type_or_method_or_path_is_told(world):
    assert world.client.post("/research", content=b"<x/>", headers={"Content-Type": "text/xml"}).status_code == 415
    assert world.client.put("/research").headers["allow"] == "POST, GET"
    assert world.client.get("/nowhere").json()["detail"] == "no such path: /nowhere; GET / lists them"
    assert world.client.get(f"/research/{uuid4()}").status_code == 404
    assert world.client.get(f"/report/{uuid4()}").status_code == 404


def test_the_same_request_twice_is_one_request(world):
    body = {"request_id": str(uuid4()), "topic": "x", "depth": 1}
    first = world.client.post("/research", json=body)
    world.now += timedelta(seconds=5)
    again = world.client.post("/research", json=body)
    assert first.json() == again.json()
    assert world.broker.events[0] == world.broker.events[1]
    other = world.client.post("/research", json=body | {"topic": "y"})
    assert other.status_code == 409 and "use a new id" in other.json()["detail"]


def opening(data: dict, kind: str = "research_requests") -> Event:
    attributes = {"specversion": "1.0", "id": "1", "source": "/me", "type": kind, "datacontenttype": "application/json"}
    return Event(attributes, json.dumps(data).encode())


@pytest.mark.parametrize("mode", ["binary", "structured"])
def test_a_cloudevent_is_taken_in_both_modes(world, mode):
    data = {"request_id": str(uuid4()), "topic": "x", "depth": 1}
    headers, body = (
        to_request(opening(data))
        if mode == "binary"
        else ({"content-type": "application/cloudevents+json"}, to_json(opening(data)))
    )
    assert world.client.post("/", content=body, headers=headers).status_code == 202
    assert json.loads(world.broker.events[0].data)["topic"] == "x"


def test_a_deadline_of_ones_own_can_only_be_nearer(world):
    for deadline, kept in (("2999-01-01T00:00:00Z", 30), ((NOON + timedelta(minutes=5)).isoformat(), 5)):
        event = opening({"request_id": str(uuid4()), "topic": "x", "depth": 1}).having(deadline=deadline)
        headers, body = to_request(event)
        assert world.client.post("/", content=body, headers=headers).status_code == 202
        assert world.broker.events[-1].moment("deadline") == NOON + timedelta(minutes=kept)
    headers, body = to_request(event.having(deadline="0001-01-01T00:00:00+14:00"))
    assert world.client.post("/", content=body, headers=headers).status_code == 400


def test_a_cloudevent_that_forges_a_later_step_is_refused(world):
    headers, body = to_request(opening({}, "validation_passed"))
    answer = world.client.post("/", content=body, headers=headers)
    assert answer.status_code == 422 and "takes events of type research_requests" in answer.json()["detail"]
    assert world.client.post("/", content=b"{}").status_code == 400
    assert not world.broker.events


def test_a_cloudevent_may_ask_no_more_than_a_person_may(world):
    headers, body = to_request(opening({"request_id": str(uuid4()), "topic": " \t", "depth": 1}))
    answer = world.client.post("/", content=body, headers=headers)
    assert answer.status_code == 422 and "topic: Value error, must say something" in answer.text
    assert not world.broker.events


def test_a_plain_record_of_the_inbox_becomes_one_request_however_often_it_comes(world):
    record = opening({"topic": "x", "depth": 1}, "dev.knative.kafka.event").having(
        id="partition:0/offset:7", source="/apis/inbox"
    )
    headers, body = to_request(record)
    assert [world.client.post("/intake", content=body, headers=headers).status_code for _ in range(2)] == [204, 204]
    assert world.broker.events[0] == world.broker.events[1]
    other = json.dumps({"request_id": json.loads(world.broker.events[0].data)["request_id"], "topic": "y", "depth": 1})
    assert world.client.post("/intake", content=other, headers=headers).status_code == 422  # 409 would be tried again
    headers, body = to_request(record.having(id="partition:0/offset:8"))
    assert world.client.post("/intake", content=b"garbage", headers=headers).status_code == 400


async def test_progress_ends_with_the_state_and_is_taken_up_again_where_it_was(world):
    request_id = world.client.post("/research", json={"topic": "x", "depth": 1}).json()["request_id"]
    first = world.broker.events[0]
    await world.runtime.journal.record(request_id, first)
    done = opening({"request_id": request_id, "metadata": {"link": "http://l"}}, "research_complete").having(
        time=(NOON + timedelta(seconds=1)).isoformat()
    )
    await world.runtime.journal.record(request_id, done)
    text = world.client.get(f"/research/{request_id}/events").text
    assert [line for line in text.splitlines() if line.startswith("event: ")] == [
        "event: research_requests",
        "event: research_complete",
        "event: end",
    ]
    last = next(line.removeprefix("id: ") for line in text.splitlines() if line.startswith("id: "))
    again = world.client.get(f"/research/{request_id}/events", headers={"Last-Event-ID": last}).text
    assert "event: research_requests" not in again and "event: research_complete" in again


class Accounts:
    """Accounts that answer as they are told."""

    def __init__(self, error: InferenceError | None = None, hangs: bool = False) -> None:
        self.error, self.hangs, self.opened = error, hangs, []

    async def open(self, request: str, budget_tokens: int, deadline: datetime) -> None:
        self.opened.append((request, budget_tokens, deadline))
        if self.hangs:
            await asyncio.sleep(60)
        if self.error:
            raise self.error


def test_a_request_has_an_account_before_its_opening_event_is_stored_and_only_one(world):
    accounts = Accounts()
    world.desk = Desk(accounts)
    body = {"request_id": str(uuid4()), "topic": "x", "depth": 1}
    for _ in range(3):
        assert world.client.post("/research", json=body).status_code == 202
    assert accounts.opened == [(body["request_id"], 60_000, NOON + timedelta(minutes=30))]
    event = opening({"request_id": str(uuid4()), "topic": "x", "depth": 1})
    headers, sent = to_request(event.having(deadline=(NOON + timedelta(minutes=5)).isoformat()))
    assert world.client.post("/", content=sent, headers=headers).status_code == 202
    assert accounts.opened[-1][2] == NOON + timedelta(minutes=5)


@pytest.mark.parametrize(
    "accounts",
    [
        Accounts(ModelUnavailableError("no scheduler at http://x: cannot connect")),
        Accounts(ModelRefusedError("http://x/requests answered 404: a model server without accounts")),
        Accounts(hangs=True),
        Accounts(refusal("http://x", 503, "no endpoints", "5")),
    ],
    ids=["away", "no accounts", "hangs", "503"],
)
def test_a_request_is_taken_without_an_account_where_the_scheduler_does_not_answer(world, accounts):
    world.desk = Desk(accounts)
    assert world.client.post("/research", json={"topic": "x", "depth": 1}).status_code == 202
    assert len(accounts.opened) == len(world.broker.events) == 1
    assert PATIENCE_S <= 1.0


def test_while_the_store_is_away_every_door_says_when_to_ask_again_and_nothing_is_published(world):
    async def away(what, do, error=StoreError):
        raise error(what)

    world.runtime.__dict__["store"] = Shelf(effect=away)
    headers, sent = to_request(opening({"request_id": str(REQUEST), "topic": "x", "depth": 1}))
    for answer in (
        world.client.post("/research", json={"topic": "x", "depth": 1}),
        world.client.post("/", content=sent, headers=headers),
        world.client.get("/report/00000000-0000-4000-8000-000000000001"),
    ):
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
        assert answer.json()["title"] == "Store unavailable"
    assert world.broker.events == []


async def test_beyond_the_backlog_nothing_is_taken_by_any_door_and_the_answer_says_when_to_come_back(world, tmp_path):
    with FakeServer() as server:
        async with scheduler(pools_of(server_of(server), limits={"open_requests": 1}), tmp_path) as one:
            world.desk = Desk.of({"TORPOR_MODEL_URL": f"{one.url}/v1"})
            post = functools.partial(asyncio.to_thread, world.client.post)
            mine = {"request_id": str(uuid4()), "topic": "x", "depth": 1}
            assert (await post("/research", json=mine)).status_code == 202
            assert (await one.get(f"requests/{mine['request_id']}"))["budget_tokens"] == 60_000
            headers, sent = to_request(opening({"request_id": str(uuid4()), "topic": "x", "depth": 1}))
            record, plain = to_request(opening({"topic": "x", "depth": 1}, "dev.knative.kafka.event"))
            for refused in (
                await post("/research", json={"topic": "y", "depth": 1}),
                await post("/", content=sent, headers=headers),
                await post("/intake", content=plain, headers=record),
            ):
                assert refused.status_code == 429 and refused.headers["content-type"] == "application/problem+json"
                assert int(refused.headers["retry-after"]) > 0
                assert "1 requests are open, which is the limit" in refused.json()["detail"]
            assert len(world.broker.events) == 1 and len(await world.store.keys("requests")) == 1
            assert (await post("/research", json=mine)).status_code == 202  # it was taken before
            await Desk.of({"TORPOR_MODEL_URL": f"{one.url}/v1"}).close(mine["request_id"])
            assert (await post("/intake", content=plain, headers=record)).status_code == 204


async def test_a_report_is_served_under_a_strict_policy(world):
    request_id = uuid4()
    await world.store.create(f"pages/{request_id}/report.html", b"<p>found</p>")
    answer = world.client.get(f"/report/{request_id}")
    assert answer.text == "<p>found</p>" and answer.headers["content-security-policy"].startswith("default-src 'none'")


async def test_the_policy_beside_the_page_is_the_one_within_it(world):
    await handle(full(REQUEST), context(FakeModel([]), bucket=world.store))
    answer = world.client.get(f"/report/{REQUEST}")
    within = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', answer.text)
    assert answer.headers["content-security-policy"] == f"{within[1]}; frame-ancestors 'none'"
    assert "sha256-" in within[1] and "unsafe" not in within[1]


async def test_a_report_is_printed_cited_and_served_with_its_record(world):
    complete = await handle(full(REQUEST), context(FakeModel([]), bucket=world.store))
    endings = ("pdf", "bib", "csl.json", "evidence.json")
    printed, bibtex, csl, record = (world.client.get(f"/report/{REQUEST}.{ending}") for ending in endings)
    assert printed.headers["content-type"] == "application/pdf" and printed.content.startswith(b"%PDF-")
    assert printed.content == world.client.get(f"/report/{REQUEST}.pdf").content
    assert bibtex.headers["content-type"].startswith("application/x-bibtex") and bibtex.text.count("@misc{") == 2
    assert [item["title"] for item in csl.json()] == ["Hybrid key exchange", "A PDF of many pages"]
    assert hashlib.sha256(record.content).hexdigest() == complete.evidence
    assert {answer.headers["x-content-type-options"] for answer in (printed, bibtex, csl, record)} == {"nosniff"}


async def test_a_print_that_lacks_a_font_names_the_page_of_its_edition(world):
    page = as_json(arranged(full(REQUEST).model_copy(update={"topic": "量子"}))).encode()
    await world.store.create(f"pages/{REQUEST}/report{suffix(2)}.json", page)
    printed = PdfReader(io.BytesIO(world.client.get(f"/report/{REQUEST}.pdf?edition=2").content))
    links = {link.get_object()["/A"]["/URI"] for link in printed.pages[0]["/Annots"]}
    assert links == {f"http://localhost:8080/report/{REQUEST}?edition=2"}


async def test_a_report_is_served_in_three_forms(world):
    await handle(full(REQUEST), context(FakeModel([]), bucket=world.store))
    text, data = (world.client.get(f"/report/{REQUEST}.{form}") for form in ("md", "json"))
    assert text.headers["content-type"] == "text/markdown; charset=utf-8" and text.text.startswith("# Hybrid key exchange")
    assert data.headers["content-type"] == "application/json" and data.json()["request_id"] == str(REQUEST)
    assert {a.headers["x-content-type-options"] for a in (text, data)} == {"nosniff"}
    for missing in (f"/report/{uuid4()}.pdf", f"/report/{uuid4()}.bib", f"/report/{REQUEST}.evidence"):
        assert world.client.get(missing).status_code == 404
    for missing in (f"/report/{uuid4()}.md", f"/report/{uuid4()}.json", f"/report/{REQUEST}.exe", f"/report/{REQUEST}xmd"):
        assert world.client.get(missing).status_code == 404
