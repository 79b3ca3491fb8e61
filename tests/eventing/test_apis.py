"""What describes the interfaces: true of a real gateway process, complete, and drawn so that nothing lies upon another."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import yaml

from eventing.apis import OPENAPI, asyncapi, layout, openapi, svg
from eventing.apis import __main__ as apis
from eventing.apis.routes import ROUTES
from eventing.local.asking import ask
from eventing.manifests import files
from eventing.workflow import Workflow, load, named
from tests.eventing import serving


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with serving.gateway() as url:
        yield url


CONFORMS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"


@pytest.mark.parametrize(
    ("checks", "options"),
    [
        # What was accepted comes to be later: an answer that is not there yet is no fault.
        ("all", ["--generation-codec", "ascii", "--exclude-checks", "ensure_resource_availability"]),
        # Beyond ASCII, what a pattern's \s takes in differs between dialects: there, what is accepted is not compared.
        (CONFORMS, ["--phases", "fuzzing"]),
    ],
    ids=["described and no more", "any text"],
)
def test_whatever_is_sent_the_answer_is_one_that_is_described(
    gateway: str, tmp_path: Path, checks: str, options: list[str]
) -> None:
    """Sound and unsound requests by every operation; only its progress is left out: a stream that ends with its request."""
    command = ["run", f"{gateway}/openapi.json", "--exclude-operation-id", "progress", "--checks", checks, *options]
    limits = ["--max-examples", "40", "--seed", "1", "--request-timeout", "10", "--no-color"]
    program = Path(sys.executable).with_name("schemathesis")
    # A broker tries a 409 again, so what is brought from a topic with another's request id gets 422.
    conflict = "checks.positive_data_acceptance.expected-statuses = [204, 409, 422, 503]"
    (tmp_path / "schemathesis.toml").write_text(f'[[operations]]\ninclude-operation-id = "intake"\n{conflict}\n')
    told = subprocess.run([program, *command, *limits], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr


def test_the_description_is_served_as_it_is_committed(gateway: str) -> None:
    answer = ask(f"{gateway}/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.data == OPENAPI.read_bytes()


def test_every_route_that_is_described_has_its_handler() -> None:
    from functions.gateway import main

    assert set(main._HANDLERS) == {route.name for route in ROUTES}


def _references(of: Any) -> Iterator[str]:
    if isinstance(of, dict):
        yield from ([of["$ref"]] if isinstance(of.get("$ref"), str) else [])
        for value in of.values():
            yield from _references(value)
    elif isinstance(of, list):
        for value in of:
            yield from _references(value)


@pytest.mark.parametrize("made", [openapi.document(), asyncapi.document(named("research"))], ids=["OpenAPI", "AsyncAPI"])
def test_every_reference_leads_somewhere(made: dict[str, Any]) -> None:
    for reference in _references(made):
        at: Any = made
        for name in reference.removeprefix("#/").split("/"):
            at = at[name]


def test_every_topic_and_every_step_is_described() -> None:
    workflow = named("research")
    made = asyncapi.document(workflow)
    manifests = yaml.safe_load_all(files(workflow)["topics.yaml"])
    assert {topic["spec"]["topicName"] for topic in manifests} == set(made["channels"])
    for step in workflow.steps:
        for event in step.takes:
            assert made["operations"][f"{step.name}_takes_{event}"]["action"] == "receive"
        for event in step.answers:
            assert made["operations"][f"{step.name}_answers_{event}"]["channel"] == {"$ref": f"#/channels/{event}"}


LOOPING = """
name: looping
opens: research_requests
ends: [research_complete, research_failed]
deadline: 5m
budget_tokens: 100
dead_letters: agent_errors
tracker: {agent: tracker, answers: [workflow_state, research_failed], every: 5m}
steps:
  plan: {agent: drafter, takes: [research_requests], answers: [research_questions, research_results]}
  check: {agent: checker, takes: [research_questions], answers: [validation_failed, summary_ready]}
  again: {agent: drafter, takes: [validation_failed], answers: [research_questions], revisions: 2}
  more: {agent: third, takes: [summary_ready, research_results], answers: [validation_passed]}
  last: {agent: fourth, takes: [validation_passed], answers: [research_complete]}
"""


@pytest.fixture(params=["research", "looping"])
def workflow(request: pytest.FixtureRequest, tmp_path: Path) -> Workflow:
    if request.param == "research":
        return named("research")
    path = tmp_path / "looping.yaml"
    path.write_text(LOOPING)
    return load(path)


def test_the_picture_shows_every_event_and_no_line_crosses_a_box(workflow: Workflow) -> None:
    made = layout.picture(workflow)
    answered = {event for step in workflow.steps for event in (*step.takes, *step.answers)}
    assert answered <= {wire.event for wire in made.wires}
    for wire in made.wires:
        for (x0, y0), (x1, y1) in itertools.pairwise(wire.corners):
            for box in made.boxes:
                inside_x = max(x0, x1) > box.x + 1 and min(x0, x1) < box.x + box.width - 1
                inside_y = max(y0, y1) > box.y + 1 and min(y0, y1) < box.y + box.height - 1
                assert not (inside_x and inside_y), f"{wire.event} crosses {box.name}"


def test_no_two_names_lie_upon_each_other_and_all_lie_within(workflow: Workflow) -> None:
    made = layout.picture(workflow)
    for one, other in itertools.combinations(made.wires, 2):
        apart = (len(one.event) + len(other.event)) * layout.LETTER / 2 + 20
        assert abs(one.label[0] - other.label[0]) >= apart or abs(one.label[1] - other.label[1]) >= 24, (
            one.event,
            other.event,
        )
    for wire in made.wires:
        half = len(wire.event) * layout.LETTER / 2 + 10
        assert half <= wire.label[0] <= made.width - half and 12 <= wire.label[1] <= made.height - 12


@pytest.mark.parametrize("theme", svg.THEMES)
def test_the_picture_is_sound_svg_that_says_in_words_what_it_shows(workflow: Workflow, theme: str) -> None:
    root = ElementTree.fromstring(svg.text(workflow, theme))
    (told,) = root.findall("{http://www.w3.org/2000/svg}desc")
    assert all(step.agent.replace("_", " ") in (told.text or "") for step in workflow.steps)


def test_drift_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(apis, "OPENAPI", tmp_path / "openapi.json")
    assert apis.main(["--to", str(tmp_path)]) == 0
    assert apis.main(["--to", str(tmp_path), "--check"]) == 0
    (tmp_path / "research.mmd").write_text("flowchart TD")
    assert apis.main(["--to", str(tmp_path), "--check"]) == 1
    assert "research.mmd differs from what it describes: run `make apis`" in capsys.readouterr().out
