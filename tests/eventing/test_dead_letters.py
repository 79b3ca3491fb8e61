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

from eventing.cli import dead, gateway
from eventing.cli.commands import main as command
from eventing.cli.errors import CommandError
from eventing.deadletters import attempts, reason, revived, step_of
from eventing.envelope import Event
from eventing.testing import REQUEST
from eventing.workflow import named
from functions.gateway import main
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

    def call(method: str, url: str, *_: Any) -> bytes:
        answer = client.request(method, url)
        if answer.status_code >= 400:
            raise CommandError(f"{url} answered {answer.status_code}: {gateway.problem(answer.content)}")
        return answer.content

    monkeypatch.setattr(gateway, "call", call)
    whole.client = client
    whole.failing = lambda agent, data: agent == "validator" and data.part == 2
    return whole


def torpor(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(command, arguments)
    return done.exit_code, done.output


async def test_the_gateway_tells_of_each_letter_what_is_worth_knowing(world):
    assert world.client.get("/dead").json() == []
    await world.ask()
    (told,) = world.client.get("/dead").json()
    assert (told["request_id"], told["event"], told["step"], told["agent"]) == (
        str(REQUEST),
        "summary_ready",
        "validate",
        "validator",
    )
    assert (told["part"], told["revision"], told["edition"], told["code"], told["attempts"]) == (2, 0, 0, 422, 1)
    assert (told["reason"], told["error"], told["redriven"]) == ("validator is broken", "Refused", "")
    state = await world.state()
    assert (told["steps"], told["tokens"], told["calls"]) == (len(state.steps), state.tokens, 1) and told["tokens"] > 0


async def test_letters_are_found_by_agent_and_request(world):
    await world.ask()
    for asked, count in (
        ("agent=validator", 1),
        ("agent=planner", 0),
        (f"request={REQUEST}", 1),
        (f"request={uuid4()}", 0),
        (f"request={REQUEST}&agent=notifier", 0),
    ):
        assert len(world.client.get(f"/dead?{asked}").json()) == count, asked
    assert world.client.get("/dead?request=7").status_code == 422


async def test_a_letter_of_no_known_request_is_told_and_left(world):
    dead_record = letter(type="dev.knative.kafka.event", failedstep="gateway", knativeerrorcode="422", reason="no JSON")
    assert await world.tracker.take(dead_record) == "no request"
    (told,) = world.client.get("/dead").json()
    assert (told["request_id"], told["agent"], told["step"]) == (None, "gateway", None)
    assert "1 dead letters belong to no known request" in torpor("redrive", "--all")[1]
    assert "request of no known request" in torpor("dead")[1]


async def test_an_unknown_request_and_one_that_has_nothing_to_send_are_refused(world):
    assert world.client.post(f"/research/{uuid4()}/redrive").status_code == 404
    world.failing = lambda *_: False
    await world.ask()
    answer = world.client.post(f"/research/{REQUEST}/redrive")
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
    assert torpor("dead") == (0, "no dead letters\n")
    assert torpor("dead", "--agent", "planner", "--json") == (0, "[]\n")
    await world.ask()
    code, text = torpor("dead")
    assert code == 0 and "validator could not handle summary_ready, part 2" in text and "1 of 1 wait" in text
    assert "why    validator is broken (status 422, Refused)" in text and "tried once" in text
    assert "none is paid for again" in text
    world.failing = lambda *_: False
    code, text = torpor("redrive", str(REQUEST))
    assert code == 0 and "goes on as edition 1" in text and "summary_ready, part 2 to validator" in text
    await world.settle()
    assert (await world.state()).status == "complete"
    assert "sent again (edition 1)" in torpor("dead")[1]
    assert torpor("redrive", "--all") == (0, "no dead letter waits\n")
    assert torpor("redrive", "--agent", "validator") == (0, "no dead letter waits of agent validator\n")


async def test_all_that_wait_are_sent_on_once_it_is_confirmed(world, monkeypatch):
    await world.ask()
    monkeypatch.setattr(dead, "_asks", lambda: True)
    done = CliRunner().invoke(command, ["redrive", "--all"], input="n\n")
    assert done.exit_code == 1 and "send 1 requests on" in done.output and not world.broker.events
    done = CliRunner().invoke(command, ["redrive", "--all", "--yes"])
    assert done.exit_code == 0 and "edition 1" in done.output and world.broker.events


@pytest.mark.parametrize("arguments", [[], [str(REQUEST), "--all"], ["--all", "--agent", "x"], ["7"]])
def test_it_must_be_said_what_is_sent_on(arguments):
    assert torpor("redrive", *arguments)[0] == 2


async def test_a_request_that_cannot_be_sent_on_is_told_and_the_others_are(world, monkeypatch):
    await world.ask()
    waiting = json.loads(gateway.call("GET", "/dead"))
    other = {**waiting[0], "request_id": str(uuid4())}
    monkeypatch.setattr(dead, "letters", lambda *_: [other, *waiting])
    code, text = torpor("redrive", "--all")
    assert code == 1 and "nothing is known of request" in text and "goes on as edition 1" in text
    assert "1 of 2 requests could not be sent on" in text
