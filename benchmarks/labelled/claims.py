"""The labelled claims, always the same; a document's claims are all for tuning or all held out, by its name's digest."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from random import Random

import yaml

from benchmarks.labelled import changes
from functions.prose import sentences, words
from functions.research_assistant.documents import document
from functions.research_assistant.passages import passages
from schemas import Passage

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
TRUE = ("untouched", "paraphrased", "paraphrased-blind")


@dataclass(frozen=True)
class Labelled:
    """A claim, the passage that it cites, and what was done to it; `of` says what it was made from."""

    text: str
    passage: Passage
    kind: str
    of: str
    document: str

    @property
    def true(self) -> bool:
        return self.kind in TRUE

    @property
    def held_out(self) -> bool:
        return bool(int(sha256(self.document.encode()).hexdigest(), 16) % 2)


def labelled() -> list[Labelled]:
    """Every claim of every document: those written by hand, a file a kind, and those made by code."""
    found: list[Labelled] = []
    for path in sorted((HERE / "written").glob("*.yaml")):
        for name, pairs in yaml.safe_load(path.read_text()).items():
            told = _passages(name)
            written = [Labelled(text, _cited(said, told, name), path.stem, "writer", name) for said, text in pairs.items()]
            found += written
            if path.stem == "paraphrased":
                found += _made_of(name, told, written)
    return found


def _passages(name: str) -> list[Passage]:
    path = next(path for folder in (EXAMPLES, HERE) for path in folder.glob(f"*/{name}.md"))
    return [entry.passage for entry in passages(document(path.name, path.read_bytes()))]


def _cited(beginning: str, told: list[Passage], name: str) -> Passage:
    found = [p for p in told if any(s.startswith(beginning) for s in sentences(p.text))]
    if len(found) != 1:
        raise ValueError(f"{name}: {len(found)} passages have a sentence that begins with {beginning!r}, not one")
    return found[0]


def _made_of(name: str, told: list[Passage], written: list[Labelled]) -> list[Labelled]:
    found = [made for entry in written for made in _made(entry.text, "paraphrase", entry.passage, told, name)]
    for passage in told:
        own = [s for s in sentences(passage.text) if len(words(s)) >= 6 and not s.startswith(("It ", "They ", "Its "))]
        for text in own[:2]:
            found += [Labelled(text, passage, "untouched", "sentence", name), *_made(text, "sentence", passage, told, name)]
    return found


def _made(text: str, of: str, passage: Passage, told: list[Passage], name: str) -> list[Labelled]:
    random = Random(sha256(f"{name} {text}".encode()).hexdigest())
    other = random.choice([p for p in told if p.id != passage.id])
    beside = [s for s in sentences(passage.text) if s[:40] != text[:40]]
    made = {
        "number": changes.number(text, passage.text, random),
        "number of another": changes.number_of_another(text, passage.text, random),
        "unit": changes.unit(text, passage.text, random),
        "date": changes.date(text, passage.text, random),
        "name": changes.name(text, passage.text, " ".join(p.text for p in told), random),
        "negation": changes.negation(text, passage.text, random),
        "direction": changes.direction(text, passage.text, random),
        "over-generalized": changes.spread(text, passage.text, random),
        "merged": changes.merged(text, random.choice(beside)) if beside else None,
        "added": changes.added(text, random.choice(sentences(other.text))),
    }
    found = [Labelled(said, passage, kind, of, name) for kind, said in made.items() if said and said != text]
    return [*found, Labelled(text, other, "swapped citation", of, name)]
