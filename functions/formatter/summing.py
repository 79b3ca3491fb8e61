"""The summary: which statements stand at the head of a report."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

from functions.prose import content, likeness, plain

if TYPE_CHECKING:
    from functions.formatter.findings import Section, Statement

SUMMED = 4  # statements in the summary
SAME = 0.8


def summed(topic: str, sections: Sequence[Section]) -> tuple[Statement, ...]:
    """The statements that answer what was asked itself, then those that have most of the topic's words, in their order.

    None says what another has said. Of the latter, what has less than half as many words as the best is left out.
    """
    told: list[Statement] = []
    for statement in chain(_answers(topic, sections), _bearing(topic, sections)):
        if len(told) < SUMMED and all(likeness(statement.text, other.text) < SAME for other in told):
            told.append(statement)
    return tuple(sorted(told, key=lambda s: s.number))


def _answers(topic: str, sections: Sequence[Section]) -> Iterable[Statement]:
    """What stands under the questions that the topic itself asks: the first of each, then the second of each, and so on."""
    mine = set(content(topic)) if plain(topic).endswith("?") else set()
    asked = [section.statements for section in sections if set(content(section.question)) <= mine]
    return filter(None, chain.from_iterable(zip_longest(*asked)))


def _bearing(topic: str, sections: Sequence[Section]) -> Iterable[Statement]:
    mine = set(content(topic))
    every = [statement for section in sections for statement in section.statements]
    words = {s.number: len(mine & set(content(s.text))) for s in every}
    least = max(words.values(), default=0) / 2
    return (s for s in sorted(every, key=lambda s: -words[s.number]) if words[s.number] >= least)
