"""How much of what answers a question is among the first passages, beside plain BM25, embeddings and both fused.

    python -m benchmarks.retrieval

A question's answers are the strings that it must contain, where they stand in a document that it names; recall is the share
of them that the first passages hold. Needs neither platform nor model;
embeddings only where their wheel is installed (docs/evidence.md).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import mean

import yaml
from rank_bm25 import BM25Okapi

from functions.prose import content
from functions.research_assistant.documents import document
from functions.research_assistant.ranking import CANDIDATES, Library, embeds

EXAMPLES = Path(__file__).parents[1] / "examples"
FIRST = (4, 10)  # what the agent uses, and the usual measure
Rank = Callable[[str, int], list[str]]


def rankings(folder: Path) -> dict[str, Rank]:
    library = Library.of([document(path.name, path.read_bytes()) for path in sorted(folder.glob("*.md"))])
    texts = [found.passage.text for found in library.found]
    words = BM25Okapi([content(text) for text in texts])

    def this(question: str, count: int) -> list[str]:
        return [passage.text for passage in library.best(question, question, count)]

    def plain(question: str, count: int) -> list[str]:
        return list(words.get_top_n(content(question), texts, count))

    found: dict[str, Rank] = {"this ranking": this, "plain BM25": plain}
    if embeds():
        from functions.research_assistant.embedding import encoder, fused

        vectors = encoder().vectors([f"{found.under} {found.passage.text}" for found in library.found])

        def alone(question: str, count: int) -> list[str]:
            order = (-(vectors @ encoder().vectors([question])[0])).argsort()
            return [texts[n] for n in order[:count]]

        def both(question: str, count: int) -> list[str]:
            return [passage.text for passage in fused(library.best(question, question, CANDIDATES), question)[:count]]

        found |= {"embeddings": alone, "this and embeddings": both}
    return found


def recall(asked: dict[str, list[str]], passages: list[str]) -> float:
    said = "\n".join(passages).lower()
    return mean(answer.lower() in said for answer in asked["must_contain"])


def main() -> None:
    total: dict[str, list[float]] = {}
    print(f"recall at {FIRST[0]} / at {FIRST[1]}")
    for path in sorted((EXAMPLES / "questions").glob("*.yaml")):
        questions = yaml.safe_load(path.read_text())
        for name, rank in rankings(EXAMPLES / path.stem).items():
            shares = [mean(recall(asked, rank(asked["question"], count)) for asked in questions) for count in FIRST]
            print(f"{path.stem:16} {name:19} {' / '.join(f'{share:.3f}' for share in shares)}   {len(questions)} questions")
            total.setdefault(name, []).extend(shares)
    for name, shares in total.items():
        print(f"{'mean of the three':16} {name:19} {mean(shares[::2]):.3f} / {mean(shares[1::2]):.3f}")


if __name__ == "__main__":
    main()
