"""Passages ordered by meaning too, with the real embedding model (`make test-embeddings` installs it)."""

import pytest

from functions.research_assistant import ranking
from functions.research_assistant.embedding import encoder, fused
from functions.research_assistant.ranking import best, library
from tests.functions.conftest import PASSAGE
from tests.functions.conftest import bucket as bucket


def test_the_model_is_found():
    assert ranking.embeds()


def test_texts_of_like_meaning_are_near():
    asked, answer, other = encoder().vectors(
        [
            "How many people live in Berlin?",
            "Around 3.5 million people live in Berlin.",
            "A hive of bees holds many workers.",
        ]
    )
    assert asked @ answer > 0.8 > 0.3 > asked @ other


async def test_it_orders_what_words_found_and_adds_nothing(bucket):
    shelf = await library(bucket, "zoo")
    asked = ("How large are the keys of the otter cipher?", "the otter cipher")
    found = await best(shelf, *asked, 4)
    assert {passage.id for passage in found} == {passage.id for passage in shelf.best(*asked, 4)}
    assert await best(shelf, "Which volcanoes erupted?", "Iceland", 4) == []


@pytest.mark.parametrize("text", ["", "\U0001f9a6" * 900, "x" * 20_000, "ümläut ß 漢字"])
def test_any_text_has_a_place(text):
    assert fused([PASSAGE], text) == [PASSAGE]
