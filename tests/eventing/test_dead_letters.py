"""Dead letters: kept whole, told at the gateway and by the command, and sent on without what Eventing and agents added."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from click.testing import CliRunner
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.testclient import TestClient

from eventing.cli import dead, gateway, redriving
from eventing.cli.commands import main as command
from eventing.cli.errors import CommandError, NotRunningError
from eventing.deadletters import attempts, reason, revived, step_of
from eventing.envelope import Event
from eventing.testing import REQUEST
from eventing.workflow import named
from functions.gateway import letters, main
from tests.eventing.whole import Whole

WORKFLOW = named("research")


def letter(**attributes: str) -> Event:
    base = {"specversion": "1.0", "id": "1", "source": "/test", "type": "summary_ready", "part": "2"}
    return Event({**base, **attributes}, b"{}")


def test_what_is_sent_on_is_the_event_as_it_was():
    alive = letter(requestid=str(REQUEST), deadline="2026-01-01T12:00:00+00:00", traceparent="00-1-2-01")
    added = {
        "knativeerrordest": "http://validator.local/",
        "knativeerrorcode": "422",
        "knativeerrordata": "eA==",
        "failedstep": "validator",
        "reason": "r",
        "error": "E",
        "knativekafkaoffset": "7",
        "knativekafkapartition": "1",
    }
    assert revived(alive.having(**added, addressee="validator")) == alive


@pytest.mark.parametrize(
    ("told", "kind", "agent"),
    [
        ({"failedstep": "validator"}, "summary_ready", "validator"),
        (
            {"knativeerrordest": "http://research-assistant.torpor.svc.cluster.local/"},
            "validation_failed",
            "research_assistant",
        ),
        ({"knativeerrordest": "http://10.0.0.1/"}, "summary_ready", "validator"),
        ({"failedstep": "gateway"}, "dev.knative.kafka.event", None),
    ],
)
def test_the_letter_tells_whose_step_failed(told, kind, agent):
    found = step_of(letter(**told, type=kind), WORKFLOW)
    assert (found.agent if found else None) == agent


def test_how_often_it_was_tried_follows_from_the_last_answer():
    assert attempts(letter(knativeerrorcode="422"), WORKFLOW) == 1
    assert attempts(letter(knativeerrorcode="429"), WORKFLOW) == attempts(letter(knativeerrorcode="500"), WORKFLOW) == 41
    assert attempts(letter(knativeerrordest="http://x/"), WORKFLOW) == 41


def test_a_reason_is_given_whoever_was_silent():
    assert reason(letter(reason="it%20broke")) == "it broke"
    assert reason(letter(knativeerrorcode="500")) == "HTTP 500"
    assert reason(letter(knativeerrordest="http://x/")) == "no answer from http://x/"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A request whose validator refused part 2, behind the gateway's routes; the command calls them."""
    whole = Whole()
    monkeypatch.setattr(main, "_runtime", lambda: whole.runtime)
    monkeypatch.setattr(main, "_desk", lambda: whole.desk)
    client = TestClient(Starlette(routes=[Route("/{path:path}", main.function, methods=["GET", "POST"])]))

    def call(method: str, url: str, *_: Any, **__: Any) -> bytes:
        answer = client.request(method, url)
        if answer.status_code >= 400:
            raise CommandError(f"{url} answered {answer.status_code}: {gateway.problem(answer.content)}")
        return answer.content

    monkeypatch.setattr(gateway, "call", call)
    whole.client = client
    whole.failing = lambda agent, data: agent == "validator" and data.part == 2
    return whole


def torpor(*arguments: str, said: str | None = None) -> tuple[int, str]:
    done = CliRunner().invoke(command, arguments, input=said)
    return done.exit_code, done.output


def told(world: Any, query: str = "") -> list[dict[str, Any]]:
    """The letters of a page that must be the last."""
    page = world.client.get(f"/dead{query}").json()
    assert page["next"] is None
    return list(page["letters"])


async def test_the_gateway_tells_of_each_letter_what_is_worth_knowing(world):
    assert told(world) == []
    await world.ask()
    (one,) = told(world)
    assert (one["request_id"], one["event"], one["step"], one["agent"]) == (
        str(REQUEST),
        "summary_ready",
        "validate",
        "validator",
    )
    assert (one["part"], one["revision"], one["edition"], one["code"], one["attempts"]) == (2, 0, 0, 422, 1)
    assert (one["reason"], one["error"], one["redriven"]) == ("validator is broken", "Refused", "")
    state = await world.state()
    assert (one["steps"], one["tokens"], one["calls"]) == (len(state.steps), state.tokens, 1) and one["tokens"] > 0


async def test_letters_are_found_by_agent_and_request(world):
    await world.ask()
    for asked, count in (
        ("agent=validator", 1),
        ("agent=planner", 0),
        (f"request={REQUEST}", 1),
        (f"request={str(REQUEST).upper()}", 1),
        (f"request={uuid4()}", 0),
        (f"request={REQUEST}&agent=notifier", 0),
    ):
        assert len(told(world, f"?{asked}")) == count, asked


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("request=7", "request must be"),
        (f"request={REQUEST}/../x", "request must be"),
        ("after=x", "after must be"),
        ("after=../../deadlines", "after must be"),
        ("sent=yes", "sent must be true or false"),
    ],
)
def test_a_query_that_means_nothing_is_refused_by_its_name(world, query, named):
    answer = world.client.get(f"/dead?{query}")
    assert answer.status_code == 422 and named in answer.json()["detail"]


@pytest.mark.parametrize("request_id", ["7", "..", "%2e%2e", f"{REQUEST}%00", f"{REQUEST}~1", "\u0661" * 36])
def test_no_id_that_is_none_reaches_the_store(world, request_id):
    for method in ("GET", "POST"):
        assert world.client.request(method, f"/research/{request_id}/redrive").status_code == 404


async def test_a_letter_is_kept_once_however_often_it_is_delivered(world):
    await world.ask()
    (kept,) = await world.runtime.dead_letters.every(REQUEST)
    for _ in range(3):
        world.later(seconds=5)
        await world.tracker.take(kept.event)
    assert [letter.since for letter in await world.runtime.dead_letters.every(REQUEST)] == [kept.since]


async def test_thousands_of_letters_are_told_page_by_page_the_oldest_first(world, monkeypatch):
    monkeypatch.setattr(letters, "PAGE", 20)
    monkeypatch.setattr(letters, "LOOKED_AT", 60)
    for n in range(130):
        kind, failed = ("summary_ready", "validator") if n % 10 else ("research_requests", "planner")
        await world.tracker.take(letter(id=str(n), type=kind, failedstep=failed, knativeerrorcode="422"))
    seen, sizes, after = [], [], ""
    while True:
        page = world.client.get(f"/dead?agent=validator{after}").json()
        seen += [one["id"] for one in page["letters"]]
        sizes.append(len(page["letters"]))
        if page["next"] is None:
            break
        after = f"&after={page['next']}"
    assert seen == [str(n) for n in range(130) if n % 10]
    assert max(sizes) < 40 and len(sizes) > 3
    assert len(torpor("dead", "--json")[1].splitlines()) == 130
    assert "130 wait (validator 117, planner 13)" in torpor("dead")[1]
    assert [json.loads(line)["id"] for line in torpor("dead", "--json", "--agent", "planner")[1].splitlines()] == [
        str(n) for n in range(0, 130, 10)
    ]


async def test_a_letter_of_no_known_request_is_told_and_left(world):
    dead_record = letter(type="dev.knative.kafka.event", failedstep="gateway", knativeerrorcode="422", reason="no JSON")
    assert await world.tracker.take(dead_record) == "no request"
    (one,) = told(world)
    assert (one["request_id"], one["agent"], one["step"]) == (None, "gateway", None)
    code, text = torpor("redrive", "--all")
    assert code == 0 and "1 dead letter belongs to no known request" in text and "no dead letter waits that can" in text
    assert "of no known request" in torpor("dead")[1]


async def test_an_unknown_request_and_one_that_has_nothing_to_send_are_refused(world):
    assert world.client.post(f"/research/{uuid4()}/redrive").status_code == 404
    world.failing = lambda *_: False
    await world.ask()
    for method in ("GET", "POST"):
        answer = world.client.request(method, f"/research/{REQUEST}/redrive")
        assert answer.status_code == 409 and "no part was abandoned" in answer.json()["detail"]


async def test_the_report_of_an_edition_is_read_by_its_link(world):
    world.failing, world.poor = lambda *_: False, {2}
    await world.ask()
    world.poor = set()
    await world.redrive()
    first, second = (world.client.get(f"/report/{REQUEST}{query}") for query in ("", "?edition=1"))
    assert first.status_code == second.status_code == 200 and first.text != second.text
    assert world.client.get(f"/report/{REQUEST}?edition=2").status_code == 404
    assert world.client.get(f"/report/{REQUEST}.md?edition=x").status_code == 404
    assert world.client.get(f"/research/{REQUEST}/answer").json()["metadata"]["link"].endswith("?edition=1")


async def test_the_command_shows_letters_and_sends_them_on(world):
    assert torpor("dead") == (0, "no dead letter waits\n")
    assert torpor("dead", "--agent", "planner", "--all") == (0, "no dead letter of agent planner\n")
    assert torpor("dead", "--json") == (0, "")
    await world.ask()
    code, text = torpor("dead")
    assert code == 0 and "validator could not handle summary_ready, part 2 in step validate" in text
    assert "why    validator is broken (status 422, Refused)" in text and "tried once" in text
    assert "and 1 model call of the failed step: not paid for again" in text
    assert "1 waits (validator 1). Once the cause is mended: torpor redrive REQUEST_ID" in text
    world.failing = lambda *_: False
    code, text = torpor("redrive", str(REQUEST))
    assert code == 0 and "goes on as edition 1, until" in text and "summary_ready, part 2 to validator" in text
    await world.settle()
    assert (await world.state()).status == "complete"
    assert torpor("dead") == (0, "no dead letter waits\n")
    assert "sent again (edition 1)" in torpor("dead", "--all")[1]
    assert torpor("redrive", "--all") == (0, "no dead letter waits that can be sent on\n")
    assert torpor("redrive", "--agent", "validator") == (0, "no dead letter waits of agent validator that can be sent on\n")


async def test_a_dry_run_tells_what_would_be_sent_and_changes_nothing(world):
    await world.ask()
    before = await world.runtime.store.keys("")
    code, text = torpor("redrive", "--dry-run", str(REQUEST))
    assert code == 0 and "would go on as edition 1" in text and "summary_ready, part 2 to validator" in text
    assert "would go on as edition 1" in torpor("redrive", "--all", "--dry-run")[1]
    assert await world.runtime.store.keys("") == before and not world.broker.events
    planned = json.loads(torpor("redrive", "--dry-run", "--json", str(REQUEST))[1])
    sent = json.loads(torpor("redrive", "--json", str(REQUEST))[1])
    assert {**planned, "deadline": None} == {**sent, "deadline": None} and planned["letters"] == 1


async def test_all_that_wait_are_sent_on_once_it_is_confirmed(world, monkeypatch):
    await world.ask()
    monkeypatch.setattr(redriving, "_somebody_there", lambda: True)
    code, text = torpor("redrive", "--all", said="n\n")
    assert code == 1 and "send 1 request on" in text and not world.broker.events
    code, text = torpor("redrive", "--all", "--yes")
    assert code == 0 and "edition 1" in text and world.broker.events


@pytest.mark.parametrize("arguments", [[], [str(REQUEST), "--all"], ["--all", "--agent", "x"], ["7"]])
def test_it_must_be_said_what_is_sent_on(arguments):
    assert torpor("redrive", *arguments)[0] == 2


async def test_a_request_that_cannot_be_sent_on_is_told_and_the_others_are(world, monkeypatch):
    await world.ask()
    waiting = told(world)
    other = {**waiting[0], "request_id": str(uuid4())}
    monkeypatch.setattr(dead, "letters", lambda *_: [other, *waiting])
    code, text = torpor("redrive", "--all")
    assert code == 1 and "nothing is known of request" in text and "goes on as edition 1" in text
    assert "1 of 2 requests could not be sent on" in text


async def test_without_a_platform_nothing_is_tried_twice(world, monkeypatch):
    await world.ask()
    waiting, calls = told(world), []

    def away(*asked: Any) -> bytes:
        calls.append(asked)
        raise NotRunningError("nobody answers")

    monkeypatch.setattr(dead, "letters", lambda *_: [{**waiting[0], "request_id": str(uuid4())} for _ in range(9)])
    monkeypatch.setattr(gateway, "call", away)
    code, text = torpor("redrive", "--all")
    assert (code, len(calls)) == (3, 1) and "nobody answers" in text
