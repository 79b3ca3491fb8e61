"""A request becomes exactly as many different questions on its topic as it asks for."""

import pytest

from eventing.testing import REQUEST, context
from functions.planner.agent import handle
from functions.planner.questions import chosen, defaults
from functions.prose import content, likeness
from inference.errors import ModelAnswerError, ModelUnavailableError, OutOfBudgetError
from inference.testing import FakeModel
from schemas import RequestMetadata, ResearchQuery
from tests.functions.conftest import HOSTILE


def query(topic="the otter cipher", depth=3, **metadata):
    return ResearchQuery(request_id=REQUEST, topic=topic, depth=depth, metadata=RequestMetadata(**metadata))


async def asked(topic, depth, proposed):
    return [q.question for q in await handle(query(topic, depth), context(FakeModel([{"questions": proposed}])))]


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
        "What is the otter cipher?",
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


def test_defaults_differ_beyond_their_topic():
    for topic in ("the otter cipher", "How was it broken?"):
        assert len({tuple(content(q)) for q in defaults(topic)}) == 5
    assert chosen("How was SIKE broken?", [], 1) == ["How was SIKE broken?"]
