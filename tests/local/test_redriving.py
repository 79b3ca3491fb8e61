"""Dead letters on the running platform: an agent breaks, is mended, and the request goes on; nothing is bought or mailed twice."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from eventing.local.asking import ask
from eventing.local.mailbox import letters
from inference.testing import FakeServer
from tests.local.running import LIMIT_S, ROOT, Running, until

pytestmark = pytest.mark.timeout(300)
SOURCES = ("--sources", str(ROOT / "examples/post-quantum"))
SOUND = (ROOT / "functions/validator/agent.py").read_text()
ANSWER = "    return answer(**same"
BREAKS = f"""    if summary.part == 2:
        error = RuntimeError("out of ink")
        error.status = 422
        raise error
{ANSWER}"""
TAKEN_UP = "validator from the next event on"
DOUBTS = f"    answer = ValidationFailed\n{ANSWER}"


@pytest.fixture(scope="module")
def model() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The research workflow's agents in a project of their own, whose code a test may change."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "functions", folder / "functions", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "functions/__init__.py").unlink()  # the folder extends the package's
    shutil.copy(ROOT / "eventing/workflows/research.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, model: FakeServer, project: Path) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("platform"), {"TORPOR_MODEL_URL": model.url, "TORPOR_PROJECT": str(project)})
    running.up(*SOURCES)
    yield running
    running.down()


def validator(platform: Running, project: Path, end: str) -> None:
    """The validator with another end: it fails for good on the second part after its model calls, or it doubts everything."""
    assert SOUND.count(ANSWER) == 1
    log = platform.state / "logs/platform.log"
    before = log.read_text().count(TAKEN_UP)
    (project / "functions/validator/agent.py").write_text(SOUND.replace(ANSWER, end))
    until(lambda: log.read_text().count(TAKEN_UP) > before, "the change is taken up")


def dead(platform: Running, request_id: str, *options: str) -> list[dict[str, Any]]:
    told = platform.torpor("dead", "--request", request_id, "--json", *options)
    assert told.returncode == 0, told.stderr
    return [json.loads(line) for line in told.stdout.splitlines()]


def mails(platform: Running, address: str, count: int) -> list[tuple[str, str]]:
    """Message-ID and subject of every mail to an address, once there are so many."""

    def found() -> list[tuple[str, str]]:
        return [(letter.message_id, letter.subject) for letter in letters(platform.config.mailbox) if letter.to == address]

    until(lambda: len(found()) >= count, f"{count} mails to {address}", 60)
    return found()


def bought(model: FakeServer, request_id: str) -> dict[str, int]:
    """Generations by call key, as the model server itself counted them."""
    return {key: count for key, count in model.generations().items() if key.startswith(request_id)}


def completed(platform: Running, request_id: str, edition: int) -> dict[str, Any]:
    def state() -> dict[str, Any] | None:
        found = platform.get(f"/research/{request_id}")
        return found if found and found["edition"] == edition and found["status"] != "running" else None

    found: dict[str, Any] = until(state, f"edition {edition} has ended", 120)
    assert found["status"] == "complete", found["reason"]
    return found


def test_a_dead_letter_is_told_and_its_request_goes_on_where_it_failed(platform, project, model):
    validator(platform, project, BREAKS)
    request_id = platform.ask("How large are the keys of ML-KEM?", 2, email="again@example.org")
    state = platform.ended(request_id)
    assert state["status"] == "failed" and "validator could not handle summary_ready" in state["reason"]
    (letter,) = until(lambda: dead(platform, request_id), "the dead letter is told")
    assert (letter["step"], letter["agent"], letter["part"], letter["code"]) == ("validate", "validator", 2, 422)
    assert "out of ink" in letter["reason"] and letter["attempts"] == 1 and letter["tokens"] > 0
    shown = platform.torpor("dead")
    assert "validator could not handle summary_ready, part 2" in shown.stdout and "1 waits" in shown.stdout
    assert mails(platform, "again@example.org", 1)[0][1].startswith("No report: ")
    before = bought(model, request_id)
    assert any(f"{request_id}/research/2." in key for key in before) and set(before.values()) == {1}

    validator(platform, project, ANSWER)
    assert platform.torpor("ps").stdout.endswith("; 1 dead letter waits\n")
    sent = platform.torpor("redrive", request_id)
    assert sent.returncode == 0 and "goes on as edition 1" in sent.stdout, sent.stdout + sent.stderr
    assert "summary_ready, part 2 to validator" in sent.stdout
    platform.kill()
    platform.up(*SOURCES)
    state = completed(platform, request_id, 1)
    after = bought(model, request_id)
    assert before.items() <= after.items() and set(after.values()) == {1}, after
    found = mails(platform, "again@example.org", 2)
    assert [message_id for message_id, _ in found] == [f"<{request_id}@torpor>", f"<{request_id}~1@torpor>"]
    assert found[1][1].startswith("Report, new edition: ")
    assert state["link"].endswith(f"/report/{request_id}"), "the first report that there is of it"
    assert ask(f"{platform.gateway}/report/{request_id}", LIMIT_S).status == 200
    assert not dead(platform, request_id)
    assert [one["redriven"] for one in dead(platform, request_id, "--all")] == ["edition 1"]
    assert platform.torpor("ps").stdout.endswith("; no dead letter waits\n")
    assert platform.torpor("redrive", "--all").stdout == "no dead letter waits that can be sent on\n"


def test_an_agent_that_was_mended_to_ask_something_else_is_answered_and_what_it_asked_before_is_kept(
    platform, project, model
):
    validator(platform, project, f'    await ctx.llm.text("Is it sound?")\n{BREAKS}')
    request_id = platform.ask("How large is a ciphertext of ML-KEM-768?", 2)
    assert platform.ended(request_id)["status"] == "failed"
    before = bought(model, request_id)
    validator(platform, project, f'    await ctx.llm.text("Is it sound, and all of it?")\n{ANSWER}')
    sent = platform.torpor("redrive", request_id)
    assert sent.returncode == 0 and "summary_ready, part 2 to validator" in sent.stdout, sent.stdout + sent.stderr
    completed(platform, request_id, 1)
    after = bought(model, request_id)
    assert before.items() <= after.items() and set(after.values()) == {1}, after
    anew = [key for key in after.keys() - before.keys() if "/validate/" in key]
    assert len(anew) == 1 and anew[0].startswith(f"{request_id}/validate/2.") and "~" in anew[0]
    assert anew[0].partition("~")[0] in before


def test_a_request_that_ended_partially_goes_on_and_its_report_stays_beside_the_new_one(platform, project, model):
    validator(platform, project, DOUBTS)
    request_id = platform.ask("How large is an ML-KEM-768 ciphertext?", 1, email="partial@example.org")
    assert platform.completed(request_id)["parts_abandoned"] == 1
    before = bought(model, request_id)
    validator(platform, project, ANSWER)
    assert platform.torpor("redrive", "--dry-run", request_id).stdout.startswith(
        f"request {request_id} would go on as edition 1; part 1 anew"
    )
    sent = platform.torpor("redrive", "--json", request_id)
    assert sent.returncode == 0 and json.loads(sent.stdout)["parts"] == [1]
    assert completed(platform, request_id, 1)["parts_abandoned"] == 0
    after = bought(model, request_id)
    assert before.items() <= after.items() and set(after.values()) == {1}, after
    assert not [key for key in after.keys() - before.keys() if not key.startswith(f"{request_id}~1/")]
    assert [message_id for message_id, _ in mails(platform, "partial@example.org", 2)] == [
        f"<{request_id}@torpor>",
        f"<{request_id}~1@torpor>",
    ]
    first, second = (ask(f"{platform.gateway}/report/{request_id}{q}", LIMIT_S) for q in ("", "?edition=1"))
    assert first.status == second.status == 200 and first.data != second.data


def test_a_running_request_and_one_that_nobody_knows_are_refused_with_the_reason(platform):
    unknown = platform.torpor("redrive", "00000000-0000-4000-8000-00000000dead")
    assert unknown.returncode == 1 and "nothing is known of request" in unknown.stderr
    assert platform.torpor("redrive", "not-an-id").returncode == 2
