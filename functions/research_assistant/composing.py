"""Claims that a model writes from several passages at once, each naming the one that it rests on, by its number.

For a model that can do that, which the setting `writer` names. What rests on no passage that was given is not written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from functions.asking import NO_ANSWER
from functions.prose import shown
from functions.research_assistant.writing import PASSAGE_SHOWN, SYSTEM, claim_of
from schemas import Claim, Passage

if TYPE_CHECKING:
    from eventing.agent import Model

MOST = 6  # claims that are asked for
MAX_TOKENS = 100 * MOST


class Statement(BaseModel):
    """One sentence, and the number of the passage that says so."""

    sentence: str
    passage: int


class Findings(BaseModel):
    """What the model answers; empty where the passages say nothing on the question."""

    statements: list[Statement] = Field(max_length=2 * MOST)


def prompt(passages: Sequence[Passage], question: str) -> str:
    told = "\n\n".join(f"Passage {n}: {shown(passage.text, PASSAGE_SHOWN)}" for n, passage in enumerate(passages, 1))
    return (
        f"{told}\n\nQuestion: {shown(question, 300)}\n\nAnswer in up to {MOST} sentences. Each says one thing that one "
        "passage says, keeping its names and numbers, and stands alone; give that passage's number with it. "
        "Where passages disagree, write a sentence for each. Leave out what no passage says."
    )


async def composed(passages: Sequence[Passage], question: str, model: Model, writer: str) -> list[Claim] | None:
    """The claims of use that `writer` makes of the passages; None where it said something, but nothing of use."""
    if not passages:
        return []
    try:
        found = await model.answer(Findings, prompt(passages, question), system=SYSTEM, max_tokens=MAX_TOKENS, model=writer)
    except NO_ANSWER:
        return None
    kept: list[Claim] = []
    for told in found.statements:
        if 1 <= told.passage <= len(passages):
            claim = claim_of(told.sentence, passages[told.passage - 1], question, kept)
            kept += [claim] if claim and len(kept) < MOST else []
    return None if found.statements and not kept else kept
