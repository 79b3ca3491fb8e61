"""How many changed figures are marked as a conflict, and how many sentences that agree are.

    python -m benchmarks.conflicts

Every two sentences of a collection are compared (all of them are true, so none conflict), and every sentence that has a
figure with the same sentence in which one figure has another digit. Needs neither platform nor model.
"""

from __future__ import annotations

import random
import re
from itertools import combinations
from pathlib import Path

from functions.prose import sentences
from functions.research_assistant.conflicts import marked
from functions.research_assistant.documents import document
from functions.research_assistant.passages import passages
from schemas import Claim, Passage, Source

EXAMPLES = Path(__file__).parents[1] / "examples"
_FIGURE = re.compile(r"(?<![\w.,-])(?!(?:19|20)\d\d\b)\d[\d,]*(?:\.\d+)?(?![\w-])")


def conflict(one: str, other: str) -> bool:
    own, its = (Passage(id=n, source=Source(id=n, title=n), text=text, offset=0) for n, text in (("a", one), ("b", other)))
    return bool(marked([Claim(text=one, passage="a")], [own, its])[0].conflicts)


def changed(text: str, chance: random.Random) -> str:
    """The sentence with the first digit of one figure changed; the same where it has none."""
    figures = list(_FIGURE.finditer(text))
    if not figures:
        return text
    at = chance.choice(figures).start()
    return text[:at] + chance.choice([digit for digit in "123456789" if digit != text[at]]) + text[at + 1 :]


def main() -> None:
    chance = random.Random(1)
    for path in sorted((EXAMPLES / "questions").glob("*.yaml")):
        files = sorted((EXAMPLES / path.stem).glob("*.md"))
        cut = [found for file in files for found in passages(document(file.name, file.read_bytes()))]
        said = [sentence for found in cut for sentence in sentences(found.passage.text)]
        wrong = sum(conflict(*pair) for pair in combinations(said, 2))
        planted = [(text, other) for text in said if (other := changed(text, chance)) != text]
        found = sum(conflict(*pair) for pair in planted)
        pairs = len(said) * (len(said) - 1) // 2
        print(f"{path.stem:16} marked wrongly: {wrong} of {pairs:,} pairs; marked of {len(planted)} changed: {found}")


if __name__ == "__main__":
    main()
