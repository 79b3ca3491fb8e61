"""How much of what answers a question is among the first passages: this ranking beside plain BM25.

    python -m benchmarks.retrieval

A question's answers are the strings that it must contain, where they stand in a document that it names; recall is the share
of them that the first passages hold. Needs neither platform nor model.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean

import yaml
from rank_bm25 import BM25Okapi

from functions.prose import content
from functions.research_assistant.documents import document
from functions.research_assistant.ranking import Library

EXAMPLES = Path(__file__).parents[1] / "examples"
FIRST = (4, 10)  # what the agent uses, and the usual measure
Rank = Callable[[str, int], list[str]]


def rankings(folder: Path) -> dict[str, Rank]:
    library = Library.of([document(path.name, path.read_bytes()) for path in sorted(folder.glob("*.md"))])
    texts = [found.passage.text for found in library.found]
    plain = BM25Okapi([content(text) for text in texts])
    return {
        "this ranking": lambda question, count: [p.text for p in library.best(question, question, count)],
        "plain BM25": lambda question, count: list(plain.get_top_n(content(question), texts, count)),
    }


def recall(asked: dict[str, list[str]], passages: list[str]) -> float:
    said = "\n".join(passages).lower()
    return mean(answer.lower() in said for answer in asked["must_contain"])


def main() -> None:
    for path in sorted((EXAMPLES / "questions").glob("*.yaml")):
        questions = yaml.safe_load(path.read_text())
        for name, rank in rankings(EXAMPLES / path.stem).items():
            for count in FIRST:
                found = mean(recall(asked, rank(asked["question"], count)) for asked in questions)
                print(f"{path.stem:16} {name:14} recall at {count:2}: {found:.3f} ({len(questions)} questions)")


if __name__ == "__main__":
    main()
