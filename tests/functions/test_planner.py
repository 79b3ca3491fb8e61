"""A request becomes exactly as many different questions on its topic as it asks for."""

import pytest

from eventing.testing import REQUEST, context
from functions.planner.agent import handle
from functions.planner.questions import chosen, defaults, plan, subject
from functions.prose import content, likeness
from inference.errors import ModelAnswerError, ModelUnavailableError, OutOfBudgetError
from inference.testing import FakeModel
from schemas import RequestMetadata, ResearchQuery
from tests.functions.conftest import HOSTILE


def query(topic="the otter cipher", depth=3, **metadata):
    return ResearchQuery(request_id=REQUEST, topic=topic, depth=depth, metadata=RequestMetadata(**metadata))


async def asked(topic, depth, proposed):
    answer = {f"question_{n}": question for n, question in enumerate([*proposed, *[""] * 5][:5], 1)}
    return [q.question for q in await handle(query(topic, depth), context(FakeModel([answer])))]


async def test_sound_questions_of_the_model_are_taken():
    proposed = [
        "How long are the keys of the otter cipher?",
        "Who has broken the otter cipher so far?",
        "When was the otter cipher published?",
    ]
    assert await asked("the otter cipher", 3, proposed) == proposed


@pytest.mark.parametrize(
    "useless",
    [
        "the otter cipher",
        "How do solar cells work in winter?",
        "What is the the the otter otter the cipher the?",
        "Why is the otter cipher -?",
        "How is the otter cipher built? Tell me. Now?",
        "Otter cipher " * 15 + "?",
        "",
    ],
)
async def test_questions_of_no_use_are_replaced(useless):
    found = await asked("the otter cipher", 2, [useless, useless])
    assert useless not in found
    assert len(set(found)) == 2
    assert all("otter cipher" in question for question in found)


async def test_repetitions_are_replaced():
    same = "How long are the keys of the otter cipher?"
    found = await asked("the otter cipher", 3, [same, "How long are keys in the otter cipher?", same])
    assert found[0] == same
    assert len(set(found)) == 3
    assert sum(likeness(same, other) > 0.6 for other in found) == 1


@pytest.mark.parametrize("error", [ModelAnswerError("no JSON"), OutOfBudgetError("spent")])
@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
async def test_without_an_answer_there_are_defaults(error, depth):
    found = await handle(query(depth=depth), context(FakeModel([error])))
    assert [(q.part, q.of) for q in found] == [(n, depth) for n in range(1, depth + 1)]
    assert [q.question for q in found] == defaults("the otter cipher")[:depth]


async def test_an_unavailable_model_is_no_answer_of_the_planner():
    with pytest.raises(ModelUnavailableError):
        await handle(query(), context(FakeModel([ModelUnavailableError("down")])))


async def test_the_collection_comes_from_the_request_or_the_settings():
    model = FakeModel([ModelAnswerError("no"), ModelAnswerError("no"), ModelAnswerError("no")])
    own = await handle(query(sources="mine", email="a@b.org"), context(model, settings={"sources": "zoo"}))
    assert {(q.metadata.sources, q.metadata.email) for q in own} == {("mine", "a@b.org")}
    common = await handle(query(), context(model, settings={"sources": "zoo"}))
    assert {q.metadata.sources for q in common} == {"zoo"}
    none = await handle(query(), context(model))
    assert {q.metadata.sources for q in none} == {None}


@pytest.mark.parametrize(
    "topic", [HOSTILE, "?", "\u200b", "Was war das?", "x" * 2000, "the the the", "量子暗号", "{0} {topic}"]
)
@pytest.mark.parametrize("depth", [1, 5])
async def test_any_topic_gives_different_questions(topic, depth):
    proposed = ["<b>?", topic[:200], "y" * 200, "", "\u202e?"][:depth]
    found = await asked(topic, depth, proposed)
    assert len(set(found)) == depth
    assert all(len(question) <= 2000 and "\u202e" not in question for question in found)


SMALL = "smollm2-135m-instruct"


@pytest.mark.parametrize(
    ("model", "taken"),
    [(SMALL, ["Why is SIKE important?"]), ("llama-70b", ["Why is SIKE important?", "Who uses SIKE in the sport of SIKE?"])],
)
async def test_a_small_model_brings_nothing_new_into_a_question(model, taken):
    proposed = {"question_1": "Why is SIKE important?", "question_2": "Who uses SIKE in the sport of SIKE?"}
    answer = {f"question_{n}": "" for n in range(1, 6)} | proposed
    found = await handle(query("SIKE", 2), context(FakeModel([answer], name=model)))
    assert [q.question for q in found][: len(taken)] == taken


async def test_a_small_model_asks_of_a_question_no_smaller_part_than_half():
    asked = {f"question_{n}": "" for n in range(1, 6)} | {"question_1": "What are the risks of the James Webb telescope?"}
    topic = "Can crowding of Cepheids explain the Hubble tension, according to the James Webb telescope?"
    found = await handle(query(topic, 2), context(FakeModel([asked], name=SMALL)))
    assert [q.question for q in found] == [topic, defaults(topic)[1]]


async def test_a_question_is_its_own_first_part_and_alone_costs_nothing():
    model = FakeModel([])
    (alone,) = await handle(query("How large is an ML-KEM-768 ciphertext?", 1), context(model))
    assert alone.question == "How large is an ML-KEM-768 ciphertext?"
    assert not model.calls
    asked = [ModelAnswerError("no")]
    found = await handle(query("How ready are we for quantum-resistant cryptography?", 3), context(FakeModel(asked)))
    assert [q.question for q in found] == [
        "How ready are we for quantum-resistant cryptography?",
        "What is known about quantum-resistant cryptography, and why does it matter?",
        "Which methods, standards and results matter most for quantum-resistant cryptography?",
    ]


async def test_two_questions_in_one_are_a_part_each_where_two_are_wanted():
    both = "How well does R21 protect children in 2,000 villages, and what does a dose cost?"
    model = FakeModel([])
    found = await handle(query(both, 2), context(model))
    assert [q.question for q in found] == ["How well does R21 protect children in 2,000 villages?", "What does a dose cost?"]
    assert [q.question for q in await handle(query(both, 1), context(model))] == [both]
    (one, _) = await handle(query("What are otters, beavers, and voles?", 2), context(FakeModel([ModelAnswerError("no")])))
    assert one.question == "What are otters, beavers, and voles?"
    assert not model.calls


@pytest.mark.parametrize(
    ("topic", "about"),
    [
        ("the otter cipher", "the otter cipher"),
        ("How ready are we for quantum-resistant cryptography?", "quantum-resistant cryptography"),
        ("How large is an ML-KEM-768 ciphertext?", "an ML-KEM-768 ciphertext"),
        ("How was SIKE broken?", ""),
        ("What happened in 2024?", ""),
        ("?", ""),
        ("for for for " * 100 + "?", ""),
    ],
)
def test_the_subject_of_a_question_is_what_it_asks_about(topic, about):
    assert subject(topic) == about


@pytest.mark.parametrize(
    ("proposed", "taken"), [("How does a rainbow work?", False), ("How does Rainbow sign messages?", True)]
)
def test_a_name_of_the_topic_stays_a_name(proposed, taken):
    assert (proposed in chosen("How were SIKE and Rainbow broken?", [proposed], 2)) is taken


def test_the_schema_makes_every_question_begin_differently():
    patterns = [field["pattern"] for field in plan().model_json_schema()["properties"].values()]
    assert len({pattern[:8] for pattern in patterns}) == 5
    free = {f"question_{n}": "Is any beginning taken?" for n in range(1, 6)}
    assert plan().model_validate(free).questions == list(free.values())


def test_defaults_differ_beyond_their_topic():
    for topic in ("the otter cipher", "How was it broken?"):
        assert len({tuple(content(q)) for q in defaults(topic)}) == 5
    assert chosen("How was SIKE broken?", [], 1) == ["How was SIKE broken?"]
