"""A record audits itself: whatever is altered is named, and what is sound has nothing against it."""

import json
import subprocess
import sys
from functools import reduce

import pytest

from eventing.testing import REQUEST, context
from functions.auditing import AuditError, audit, documents
from functions.formatter.agent import handle as report
from functions.records import digests, sha256
from functions.research_assistant.documents import document
from functions.research_assistant.passages import passages
from functions.validator.agent import handle as validate
from inference.testing import FakeModel
from schemas import Claim, LeftOut, PartAbandoned, ResearchResult
from tests.functions.conftest import NOTE, summary

PASSAGE = passages(document("otter.md", NOTE))[0].passage
SOUND = (
    Claim(text="Ada Otter published it on 5 July 2022.", passage=PASSAGE.id, quoted=True),
    Claim(text="The otter cipher has a public key of 1184 bytes.", passage=PASSAGE.id),
)


@pytest.fixture
async def made():
    """The forms of a report on two sound statements, with what was left out of another part."""
    ctx = context(FakeModel(lambda asked: {"reason": "it gives 1184 bytes", "verdict": "supported"}, name="judge"))
    part = await validate(summary(*SOUND, passages=(PASSAGE,)), ctx)
    gone = LeftOut(text="The key has 9 bytes.", passage=PASSAGE.id, verdict="not_in_passage", reason="9 is not there")
    given_up = PartAbandoned(
        **dict(summary(part=2, passages=(PASSAGE,), left_out=(gone,))), reason="1 of 1 statements were not supported"
    )
    complete = await report(ResearchResult(request_id=REQUEST, topic="the otter cipher", parts=(part, given_up)), ctx)
    names = ("evidence.json", "html", "md", "json")
    return complete, {name: await ctx.bucket.get(f"pages/{REQUEST}/report.{name}") for name in names}


def altered(forms, change, again=False):
    """The record with a change in its result; `again`: with its digests made anew."""
    record = json.loads(forms["evidence.json"])
    change(record["result"])
    if again:
        record["digests"] = digests(record)
    return json.dumps(record).encode()


async def test_a_sound_record_has_nothing_against_it(made):
    complete, forms = made
    shown = {name: forms[name] for name in ("html", "md", "json")}
    found = audit(forms["evidence.json"], complete.evidence, shown)
    assert (found["wrong"], found["notes"]) == ([], [])
    assert (found["statements"], found["passages"]) == (2, 1)


async def test_the_record_holds_claims_passages_verdicts_models_and_rules(made):
    record = json.loads(made[1]["evidence.json"])
    first, second = record["result"]["parts"]
    assert first["written_by"] == "small-writer"
    assert first["checked_by"] == "judge"
    assert record["checked_with"] == [first["checked_with"]]
    assert first["passages"][0]["offset"] == PASSAGE.offset
    assert second["left_out"][0]["text"] == "The key has 9 bytes."
    assert [verdict["verdict"] for verdict in first["verdicts"]] == ["supported", "supported"]


def _word(result):
    result["parts"][0]["passages"][0]["text"] = result["parts"][0]["passages"][0]["text"].replace("1184", "1185")


def _claim(result):
    result["parts"][0]["claims"][1]["text"] = "The otter cipher has a public key of 1185 bytes."


def _verdict(result):
    result["parts"][0]["verdicts"][0]["verdict"] = "contradicted"


def _quotation(result):
    result["parts"][0]["claims"][0]["text"] = "Ada Otter published it on 6 July 2022."


@pytest.mark.parametrize(
    ("change", "named", "found_again"),
    [
        (_word, "part 1, passage 1 was altered", "has other words than it was named by"),
        (_claim, "part 1, statement 2 was altered", "the rules say not_in_passage"),
        (_verdict, "part 1, verdict 1 was altered", "the record says contradicted, the rules say supported"),
        (_quotation, "part 1, statement 1 was altered", "does not stand in its passage"),
        (lambda result: result["parts"][0]["verdicts"].pop(), "part 1, verdict 2 was taken out", "has no verdict"),
        (lambda result: result["parts"][1]["left_out"].clear(), "part 2, left out 1 was taken out", None),
        (lambda result: result.update(topic="x"), "request was altered", None),
    ],
)
async def test_what_was_altered_is_named(made, change, named, found_again):
    complete, forms = made
    assert named in audit(altered(forms, change))["wrong"]
    # Whoever makes the digests again is found out by the rules, or by the digest that the request's last event holds.
    again = altered(forms, change, again=True)
    wrong = audit(again)["wrong"]
    assert any(found_again in fault for fault in wrong) if found_again else wrong == []
    assert any("is not the one" in fault for fault in audit(again, complete.evidence)["wrong"])


def _leaves(value, path=()):
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = [leaf for key, inner in pairs for leaf in _leaves(inner, (*path, key))]
    return found or [path]


async def test_no_value_of_a_record_can_be_altered_unseen(made):
    data = made[1]["evidence.json"]
    for *way, last in _leaves(json.loads(data)):
        record = json.loads(data)
        where = reduce(lambda value, key: value[key], way, record)
        where[last] = not where[last] if isinstance(where[last], bool) else f"{where[last]}x"
        try:
            assert audit(json.dumps(record).encode())["wrong"], (*way, last)
        except AuditError:  # the contract finds it first
            continue


async def test_a_record_from_before_its_own_digest_is_sound(made):
    record = json.loads(made[1]["evidence.json"])
    del record["digests"]["what the record says of itself"]
    found = audit(json.dumps(record).encode())
    assert found["wrong"] == []
    assert "made before there was a digest" in found["notes"][0]


async def test_an_altered_report_is_named(made):
    _, forms = made
    shown = {"md": forms["md"].replace(b"1184", b"1185"), "html": forms["html"]}
    assert audit(forms["evidence.json"], forms=shown)["wrong"] == ["the report's md was altered"]


async def test_other_rules_than_those_of_then_are_noted(made):
    changed = altered(made[1], lambda result: result["parts"][0].update(checked_with="0123456789abcdef"), again=True)
    assert "0123456789abcdef" in audit(changed)["notes"][0]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"torpor_evidence": 9}',
        b'{"torpor_evidence": 1, "result": {"parts": []}}',
        b"\xff",
        b"[" * 100_000,
        b'{"torpor_evidence": 1, "request_id": "\\ud800"}',
    ],
)
def test_what_is_no_record_is_refused_with_its_reason(data):
    with pytest.raises(AuditError, match=r"JSON|record|result"):
        audit(data)


@pytest.mark.parametrize("broken", [5, True, "x", [1], None])
async def test_a_record_whose_parts_are_of_the_wrong_kind_is_told_wrong(made, broken):
    record = json.loads(made[1]["evidence.json"])
    for name in ("digests", "report"):
        assert audit(json.dumps(record | {name: broken}).encode(), forms={"md": b""})["wrong"]


async def test_passages_are_looked_up_in_the_documents(made, tmp_path):
    data = made[1]["evidence.json"]
    (tmp_path / "otter.md").write_bytes(NOTE)
    assert list(documents(data, tmp_path)) == []
    (tmp_path / "otter.md").write_bytes(NOTE.replace(b"# Keys", b"# Many keys"))
    assert "does not have passage" in next(documents(data, tmp_path))
    (tmp_path / "otter.md").unlink()
    assert [told.rpartition(" is not in ")[0] for told in documents(data, tmp_path)] == ["otter.md"]


async def test_the_command_tells_what_is_wrong_by_its_exit_code(made, tmp_path):
    def run(data):
        file = tmp_path / "record.json"
        file.write_bytes(data)
        return subprocess.run(
            [sys.executable, "-m", "eventing.cli", "audit", str(file)], capture_output=True, text=True, timeout=60
        )

    sound = run(made[1]["evidence.json"])
    assert sound.returncode == 0, sound.stderr
    assert sha256(made[1]["evidence.json"]) in sound.stdout
    wrong = run(altered(made[1], _claim))
    assert wrong.returncode == 1
    assert "statement 2 was altered" in wrong.stdout
    broken = run(b"{}")
    assert broken.returncode == 1
    assert "torpor_evidence" in broken.stderr
    assert "Traceback" not in broken.stderr
