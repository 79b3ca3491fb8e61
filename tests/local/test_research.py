"""The research workflow on the running platform: real Kafka, real agents in their processes, real SMTP, a model that answers at once."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from uuid import uuid4

import pytest

from eventing import kafka
from eventing.envelope import Event, from_record, to_record
from eventing.local.mailbox import letters
from functions.records import digests
from inference.testing import FakeServer, Scripted
from tests.local.running import ROOT, Running, until

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def model() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory, model: FakeServer) -> Iterator[Running]:
    running = Running(tmp_path_factory.mktemp("platform"), {"TORPOR_MODEL_URL": model.url})
    running.up("--sources", str(ROOT / "examples/post-quantum"))
    yield running
    running.down()


def produce(platform: Running, topic: str, value: bytes, key: str | None = None, headers=()) -> None:
    async def once() -> None:
        producer = kafka.Producer(platform.config.bootstrap)
        await producer.produce(topic, value, key.encode() if key else None, headers)
        await producer.close()

    asyncio.run(once())


def events(platform: Running, topic: str) -> list[Event]:
    return [from_record(r.headers, r.key, r.value) for r in kafka.read(platform.config.bootstrap, [topic])]


def completed(platform: Running, request_id: str) -> dict:
    def found():
        return next(
            (json.loads(e.data) for e in events(platform, "research_complete") if e.get("requestid") == request_id), None
        )

    return until(found, f"research_complete of {request_id}", 60)


def opening(request_id: str, **changes) -> Event:
    data = {"request_id": request_id, "topic": "ML-KEM key sizes", "depth": 2, "metadata": {}} | changes
    attributes = {
        "specversion": "1.0",
        "id": str(uuid4()),
        "source": "/test",
        "type": "research_requests",
        "partitionkey": request_id,
    }
    return Event(attributes, json.dumps(data).encode())


def test_the_full_workflow_from_the_topic(platform):
    request_id = str(uuid4())
    headers, key, value = to_record(opening(request_id, metadata={"email": "full@example.org"}))
    produce(platform, "research_requests", value, key.decode(), headers)
    result = completed(platform, request_id)
    assert result["request_id"] == request_id
    assert result["metadata"]["link"].endswith(f"/report/{request_id}")
    page = platform.torpor("trail", request_id)
    assert page.returncode == 0 and "research_complete" in page.stdout


def test_what_was_asked_is_listed_newest_first_and_named_by_a_few_characters(platform):
    asked = [platform.ask(topic, 1, email="list@example.org") for topic in ("the first\x1b[2J of two", "the second of two")]
    for request_id in asked:
        platform.completed(request_id)
    listed = platform.torpor("requests", "--last", "2")
    second, first = listed.stdout.splitlines()
    assert (
        listed.returncode == 0 and first.endswith("complete  the first[2J of two") and second.endswith("the second of two")
    )
    assert [line.split()[0] for line in (first, second)] == [request_id[:8] for request_id in asked]
    whole = [json.loads(line) for line in platform.torpor("requests", "--last", "2", "--json").stdout.splitlines()]
    assert [one["request_id"] for one in whole] == asked[::-1] and all("/report/" in one["link"] for one in whole)

    assert platform.torpor("trail", first.split()[0]).stdout == platform.torpor("trail", asked[0]).stdout
    shared = platform.torpor("trail", "0123")
    assert shared.returncode == 1 and "no request begins with 0123: `torpor requests` lists them" in shared.stderr
    elsewhere = platform.torpor("requests", TORPOR_URL=platform.gateway)
    assert elsewhere.returncode == 1 and "a gateway tells nobody which requests there are" in elsewhere.stderr


def test_the_full_workflow_from_plain_json_on_the_inbox(platform):
    request_id = str(uuid4())
    request = {"request_id": request_id, "topic": "edge computing", "depth": 1}
    produce(platform, "research_inbox", json.dumps(request).encode(), request_id)
    assert "link" in completed(platform, request_id)["metadata"]


def test_one_trace_from_the_http_request_to_the_last_event(platform):
    request_id = platform.ask("hybrid key exchange in TLS", 2)
    platform.completed(request_id)
    trail = json.loads(platform.torpor("trail", "--json", request_id).stdout)
    assert len(trail) >= 8
    assert len({event["traceparent"].split("-")[1] for event in trail}) == 1
    ids = {event["id"] for event in trail}
    assert all(event["cause"] in ids for event in trail if "cause" in event)


def test_the_report_is_served_and_its_mail_has_the_link(platform):
    done = platform.torpor("ask", "How large is an ML-KEM-768 ciphertext?", "--to", "me@example.org", "--depth", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    request_id = done.stdout.split()[1]
    letter = until(
        lambda: next((m for m in letters(platform.config.mailbox) if request_id in m.message_id), None), "the mail"
    )
    assert (
        letter.to == "me@example.org" and f"/report/{request_id}" in letter.text and f"/report/{request_id}" in letter.html
    )


def test_what_is_no_cloudevent_or_breaks_its_contract_never_stops_its_partition(platform):
    before = json.loads(platform.torpor("ps", "--json").stdout)
    request_id = str(uuid4())
    produce(platform, "research_requests", b"\x00garbage", request_id)
    produce(platform, "research_requests", b"", request_id)
    headers, _, value = to_record(opening(request_id, depth=9))
    produce(platform, "research_requests", value, request_id, headers)
    headers, _, value = to_record(opening(request_id))
    produce(platform, "research_requests", value[:20], request_id, headers)
    good = str(uuid4())
    headers, _, value = to_record(opening(good, depth=1))
    produce(platform, "research_requests", value, request_id, headers)  # the same partition as the bad ones
    completed(platform, good)

    def dead():
        found = [e for e in events(platform, "agent_errors") if e.get("partitionkey") == request_id]
        return found if len(found) == 2 else None

    reasons = sorted(e.get("reason") for e in until(dead, "two dead letters"))
    assert any("depth: Input should be less than or equal to 5 (got 9)" in reason for reason in reasons), reasons
    assert any("breaks its contract" in reason and "JSON" in reason for reason in reasons), reasons
    assert all(e.get("knativeerrorcode") == "422" for e in until(dead, "two dead letters"))
    after = json.loads(platform.torpor("ps", "--json").stdout)
    assert after["dropped"] >= before["dropped"] + 2


def test_a_request_that_breaks_its_contract_is_closed_with_the_reason(platform):
    request_id = str(uuid4())
    headers, _, value = to_record(opening(request_id, depth=0))
    produce(platform, "research_requests", value, request_id, headers)
    state = until(
        lambda: (s := platform.get(f"/research/{request_id}")) and s["status"] == "failed" and s, "the ticket is closed"
    )
    assert "depth: Input should be greater than or equal to 1" in state["reason"]


def test_garbage_from_the_model_still_ends_in_a_report(platform, model):
    model.otherwise = Scripted(text="<<<garbage>>>")
    try:
        request_id = platform.ask("SLH-DSA signature sizes", 1)
        platform.completed(request_id)
    finally:
        model.otherwise = Scripted()


def test_a_report_is_audited_by_its_request_and_names_what_was_altered(platform):
    request_id = platform.ask("How large is an ML-KEM-768 ciphertext?", 1)
    platform.completed(request_id)
    sound = platform.torpor("audit", request_id)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    assert request_id in sound.stdout and "nothing was altered" in sound.stdout
    offline = platform.torpor("audit", request_id, "--documents", str(ROOT / "examples/post-quantum"))
    assert offline.returncode == 0, offline.stdout + offline.stderr

    folder = platform.config.bucket / "pages" / request_id
    record = json.loads((folder / "report.evidence.json").read_text())
    part = record["result"]["parts"][0]
    part["passages"][0]["text"] = part["passages"][0]["text"].replace(" of ", " off ")
    record["digests"] = digests(record)
    (folder / "report.evidence.json").write_text(json.dumps(record))
    (folder / "report.md").write_text((folder / "report.md").read_text() + "All of it is certain.\n")
    wrong = platform.torpor("audit", request_id)
    assert wrong.returncode == 1
    for said in ("the record is not the one", "has other words than it was named by", "the report's md was altered"):
        assert said in wrong.stdout, wrong.stdout
    assert "something is wrong" in wrong.stdout
    assert len(json.loads(platform.torpor("audit", request_id, "--json").stdout)["wrong"]) >= 3


def test_what_has_no_report_is_not_audited_and_says_what_to_do(platform, model):
    absent = str(uuid4())
    for target, told in ((absent, "nothing is known of request"), ("nonsense", "neither a file nor the id of a request")):
        done = platform.torpor("audit", target)
        assert (done.returncode, done.stdout) == (1, "") and told in done.stderr, done.stderr

    model.otherwise = Scripted(delay_s=10)
    try:
        running = platform.ask("the tides of Saint-Malo", 1)
        done = platform.torpor("audit", running)
    finally:
        model.otherwise = Scripted()
    assert (done.returncode, done.stdout) == (1, "")
    assert f"is running and has no report yet: audit it once it has ended (`torpor trail {running}`)" in done.stderr

    failed = str(uuid4())
    headers, _, value = to_record(opening(failed, depth=0))
    produce(platform, "research_requests", value, failed, headers)
    until(lambda: (state := platform.get(f"/research/{failed}")) and state["status"] == "failed", "the request has failed")
    done = platform.torpor("audit", failed)
    assert (done.returncode, done.stdout) == (1, "")
    assert "failed and has no report" in done.stderr and "depth: Input should be" in done.stderr
    assert f"`torpor redrive {failed}`" in done.stderr
    platform.completed(running)
    assert platform.torpor("audit", running).returncode == 0


def test_a_second_platform_is_refused_with_the_reason(platform):
    done = platform.torpor("up")
    assert done.returncode == 1
    assert "a platform runs already" in done.stderr and "torpor down" in done.stderr


def test_documents_that_cannot_be_used_are_told_and_the_rest_is_used(platform, tmp_path):
    (tmp_path / "note.md").write_text("# Tides\n\nThe tide at Saint-Malo rises by 13 metres. The moon causes the tide.")
    (tmp_path / "image.png").write_bytes(b"\x89PNG")
    (tmp_path / "secret.md").symlink_to("/etc/hostname")
    with (tmp_path / "huge.txt").open("wb") as huge:
        huge.truncate(1_000_000_000)
    done = platform.torpor("ask", "How high is the tide at Saint-Malo?", "--depth", "1", "--sources", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("image.png: not one of", "secret.md: a link that leads out of the folder", "huge.txt: 1,000 MB"):
        assert told in done.stdout, done.stdout
    missing = platform.torpor("ask", "x", "--sources", str(tmp_path / "absent"))
    assert missing.returncode == 2 and "does not exist" in missing.stderr
    (tmp_path / "empty").mkdir()
    empty = platform.torpor("ask", "x", "--sources", str(tmp_path / "empty"))
    assert empty.returncode == 1 and "holds no document that can be used" in empty.stderr


def test_ten_requests_survive_kill_9_of_the_dispatcher_with_one_mail_each(platform, model):
    model.otherwise = Scripted(delay_s=0.3)
    requests = [platform.ask(f"ML-KEM question {n}", 1, email=f"n{n}@example.org") for n in range(10)]
    until(lambda: len(events(platform, "summary_ready")) > 0, "work has begun")
    platform.kill()
    assert "kafka" in platform.processes()
    platform.up()
    states = [platform.ended(request_id, 120) for request_id in requests]
    assert {state["status"] for state in states} == {"complete"}

    def mails() -> Counter[str]:
        return Counter(letter.to for letter in letters(platform.config.mailbox) if letter.to.startswith("n"))

    until(lambda: len(mails()) == 10, "ten mails", 60)
    assert set(mails().values()) == {1}
    ids = Counter((e.id, e.data) for e in events(platform, "research_complete") if e.get("requestid") in requests)
    assert len(ids) == 10
    model.otherwise = Scripted()


def test_agents_fall_asleep_and_down_leaves_nothing(platform):
    until(lambda: "0 agent processes" in platform.torpor("ps").stdout, "all agents are asleep", 40)
    platform.down()
    assert platform.processes() == []
    gone = platform.torpor("ps")
    assert gone.returncode == 3 and "torpor up" in gone.stderr
    platform.up()
