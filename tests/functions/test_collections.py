"""What was read of a collection and what was not comes with the part; PDF is parsed once; passages know their place."""

import json

import pytest

from eventing.testing import context, memory_bucket
from functions.research_assistant import documents as room
from functions.research_assistant.agent import handle
from functions.research_assistant.documents import documents
from functions.research_assistant.passages import passages
from functions.research_assistant.ranking import library
from functions.research_assistant.writing import claim_of, quotation
from inference.testing import FakeModel
from schemas import PartAbandoned, Passage, SummaryReady
from tests.eventing.test_documents import PARAGRAPH, pdf
from tests.functions.conftest import NOTE, PASSAGE, SOURCE, question


@pytest.fixture
async def shelf():
    store = memory_bucket()
    await store.create("sources/zoo/otter.pdf", pdf("A first page on other things stands here.", PARAGRAPH, title="Otters"))
    await store.create("sources/zoo/locked.pdf", pdf(PARAGRAPH, password="secret"))
    await store.create("sources/zoo/half.pdf", pdf("The vole cipher was broken on one core by Ben.", "", ""))
    skipped = [{"path": "scan.tiff", "reason": "not one of them\u202e"}]
    await store.create("sources/zoo/.skipped.json", json.dumps(skipped).encode())
    return store


async def test_a_part_says_where_it_looked_and_what_was_not_used(shelf):
    found = await handle(question(), context(FakeModel(lambda _: ""), bucket=shelf))
    assert isinstance(found, SummaryReady)
    assert (found.collection.name, found.collection.documents) == ("zoo", 2)
    assert [entry.path for entry in found.collection.unread] == ["half.pdf", "locked.pdf", "scan.tiff"]
    assert "\u202e" not in found.collection.unread[2].reason
    assert next(passage for passage in found.passages if "1184" in passage.text).page == 2
    nothing = await handle(question("Which volcanoes erupted on Iceland?"), context(FakeModel([]), bucket=shelf))
    assert isinstance(nothing, PartAbandoned)
    assert len(nothing.collection.unread) == 3


async def test_of_very_many_unread_files_a_hundred_are_named_and_the_others_counted(bucket):
    skipped = [{"path": f"{number}.tiff", "reason": "not one of them"} for number in range(10_000)]
    await bucket.create("sources/zoo/.skipped.json", json.dumps(skipped).encode())
    found = await handle(question(), context(FakeModel(lambda _: ""), bucket=bucket))
    assert len(found.collection.unread) == 100
    assert found.collection.unread_more == 9_900 + 3
    assert found.claims


async def test_a_pdf_is_parsed_once(shelf, monkeypatch):
    first, _ = await documents(shelf, "zoo")
    monkeypatch.setattr(room, "read", lambda *_: pytest.fail("parsed again"))
    await shelf.create("sources/zoo/.read/1/locked.pdf.json", b'{"text": "x", "pages": []}')
    again, _ = await documents(shelf, "zoo")
    assert [d for d in again if d.source.id != "locked.pdf"] == first


@pytest.mark.parametrize("stored", [b"", b"null", b"[1]", b'{"text": 1}', b'{"path": "x"}', b"\xff"])
async def test_what_is_stored_wrongly_is_made_anew(stored):
    store = memory_bucket()
    await store.create("sources/zoo/a.pdf", pdf(PARAGRAPH))
    await store.create("sources/zoo/.read/1/a.pdf.json", stored)
    await store.create("sources/zoo/.skipped.json", stored)
    found, unread = await documents(store, "zoo")
    assert [d.text.strip() for d in found] == [PARAGRAPH]
    assert unread == []


def test_passages_know_what_stands_around_them():
    found = [
        f.passage for f in passages(room.document("otter.md", NOTE + b"\nA further paragraph on it is this one here.\n"))
    ]
    attacks = next(p for p in found if "vole" in p.text)
    assert attacks.under == "Keys › Attacks"
    assert (attacks.before, attacks.after) == ("", "A further paragraph on it is this one here.")
    assert next(p for p in found if "further" in p.text).before.endswith("on one core.")


LIBRARY = {
    "posts.md": "# Migration\n\nA migration to post-quantum cryptography begins with an inventory of its cryptography.",
    "risks.md": "# Theft\n\nAn attack on cryptography steals data today; a quantum computer breaks its weak cryptography later.",
    "names.md": "# Naming\n\nSome call this quantum-resistant cryptography and others call it post-quantum cryptography instead.",
    "steel.md": "# Steel\n\nStainless steel is resistant to rust, resistant to stains and resistant to heat in most kitchens.",
    "bees.md": "# Bees\n\nBees make honey from nectar, and a hive of bees may hold many thousand workers in summer.",
}


async def searched(text, topic="quantum-resistant cryptography"):
    store = memory_bucket()
    for path, content in LIBRARY.items():
        await store.create(f"sources/x/{path}", content.encode())
    return [passage.source.id for passage in (await library(store, "x")).best(text, topic, 3)]


async def test_one_name_of_a_thing_finds_what_bears_the_other():
    found = await searched("How ready are we for quantum-resistant cryptography?")
    assert "posts.md" in found
    assert "steel.md" not in found
    assert await searched("Which volcanoes erupted?", "Iceland") == []


async def test_the_kind_of_a_question_decides_between_passages_on_its_topic():
    assert (await searched("What are the risks of quantum-resistant cryptography?"))[0] != "posts.md"
    assert "risks.md" in await searched("What are the risks of quantum-resistant cryptography?")


POST = Passage(
    id="p", source=SOURCE, offset=0,
    text="A migration to post-quantum cryptography starts with an inventory. It names every owner. RSA rests on factoring.",
)  # fmt: skip


@pytest.mark.parametrize(
    "claim",
    [
        "A migration to quantum-resistant cryptography starts with an inventory.",
        "Migration to post-quantum cryptography starts with.",
        "Quantum-resistant cryptography rests on factoring.",
        "A migration starts with an inventory.",
    ],
)
def test_what_the_question_brought_in_and_what_is_torn_is_of_no_use(claim):
    assert claim_of(claim, POST, "How ready are we for quantum-resistant cryptography?", []) is None


async def test_where_the_question_led_astray_the_passage_is_rewritten_alone(bucket):
    def answer(asked):
        led = "question" in asked.prompt
        return (
            "The elephant cipher's key takes 1184 bytes." if led else "The public key of the otter cipher takes 1184 bytes."
        )

    found = await handle(question("How large is the elephant key?"), context(FakeModel(answer), bucket=bucket))
    assert "The public key of the otter cipher takes 1184 bytes." in [claim.text for claim in found.claims]


def test_a_sentence_that_leans_on_another_is_quoted_last():
    leaning = PASSAGE.model_copy(update={"text": "It has a key of many bytes. The otter key has some bytes of its own."})
    assert quotation(leaning, "Which key, of how many bytes?", []).text.startswith("The otter")
