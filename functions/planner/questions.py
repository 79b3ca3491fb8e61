"""Sub-questions of a topic: which of the model's are of use, and sound ones where it has none."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel, Field, create_model

from functions.asking import small
from functions.prose import clipped, content, likeness, plain, sentences, words

TOPIC_SHOWN = 300  # characters of a topic inside a question or prompt
SAME = 0.6  # questions that share more of their content words ask the same
MAX_TOKENS = 250
SYSTEM = "You plan research. You write short questions."
# How each question begins. A small model writes five times the same question unless it is made to begin differently.
_BEGINNINGS = ("What is ", "How does ", "Why is ", "What are the risks of ", "Who uses ")
_ABOUT_A_SUBJECT = (
    "What is known about {subject}, and why does it matter?",
    "Which methods, standards and results matter most for {subject}?",
    "What are the risks, weaknesses and open problems of {subject}?",
    "Which figures, such as sizes, costs and speeds, are given for {subject}?",
    "What is planned for {subject}, by whom and by when?",
)
_ABOUT_A_QUESTION = (
    "Which facts and figures bear on the question “{topic}?”",
    "Which reasons and causes bear on the question “{topic}?”",
    "Which limits, exceptions and objections bear on the question “{topic}?”",
    "What follows in practice from the question “{topic}?”",
)
_SUBJECT = re.compile(
    r"^(?:how|what|why|which|who|when|where|is|are|can|do|does|will|should)\b.*\b"
    r"(?:(?:for|of|about|against|behind|regarding)\s+|(?:is|are)\s+(?=(?:an?|the)\s))(?P<subject>.+)$",
    re.IGNORECASE,
)
_AND_ASKS = re.compile(
    r",\s+and\s+(?=(?:by |in |to |on |at |from )?(?:how|what|which|who|why|where|when|do|does|did|is|are|was|were)\b)",
    re.IGNORECASE,
)
_SHORTEST_QUESTION = 3  # words
_LONGEST_SUBJECT = 6  # words
# What a small model may say beyond the topic's own words; beyond these it makes things up.
_SAFE = frozenset(
    content(
        "benefit change compare cost different good important kind main make matter mean need popular purpose risk work uses"
    )
)


class Plan(BaseModel):
    """What the model answers: one field a question."""

    @property
    def questions(self) -> list[str]:
        return [str(value) for value in self.model_dump().values()]


def plan() -> type[Plan]:
    """A plan of one question for each beginning.

    The pattern is only in the schema: it forces the words of a small model where the server can do that. What a larger
    model answers without being forced is taken as well, if it is of use.
    """
    fields: dict[str, Any] = {
        f"question_{number}": (str, Field(json_schema_extra={"pattern": rf"^{beginning}[A-Za-z0-9 ,'-]{{5,70}}\?$"}))
        for number, beginning in enumerate(_BEGINNINGS, 1)
    }
    return create_model("Plan", __base__=Plan, **fields)


def prompt(topic: str) -> str:
    shown = subject(topic) or _shown(topic)
    return f"Topic: {shown}\nWrite {len(_BEGINNINGS)} different questions about {shown}."


def chosen(topic: str, proposed: Iterable[str], count: int) -> list[str]:
    """Exactly `count` different questions: those that the topic asks, what is sound of the proposed, then defaults."""
    found = own(topic, count)
    sound = [plain(question) for question in proposed if _sound(plain(question), topic)]
    if found:  # what the topic asks already asks more than what it is
        sound.sort(key=lambda question: not set(content(question)) - set(content(topic)))
    for question in dict.fromkeys(sound + defaults(topic)):
        fresh = all(likeness(_beyond(topic, question), _beyond(topic, other)) < SAME for other in found)
        if len(found) < count and fresh and question not in found:
            found.append(question)
    rest = [question for question in defaults(topic) if question not in found]
    return found + rest[: count - len(found)]


def grounded(topic: str, proposed: Iterable[str], model: str) -> list[str]:
    """The proposed questions; of a small model those that bring nothing new and, where the topic asks, keep half of it."""
    if not small(model):
        return list(proposed)
    mine = set(content(topic))
    least = len(mine) / 2 if own(topic) else 1
    told = [(question, set(content(question))) for question in proposed]
    return [question for question, said in told if said <= mine | _SAFE and len(said & mine) >= least]


def own(topic: str, count: int = 1) -> list[str]:
    """What the topic itself asks, where it is a question: nothing bears on it better. Of two in one each, if wanted."""
    if not (plain(topic).endswith("?") and content(topic)):
        return []
    asked = [piece.strip(" ,;") for piece in _AND_ASKS.split(_shown(topic))]
    each = 1 < len(asked) <= count and all(len(words(one)) >= _SHORTEST_QUESTION and content(one) for one in asked)
    return [f"{one[0].upper()}{one[1:]}?" for one in (asked if each else [_shown(topic)])]


def subject(topic: str) -> str:
    """What a topic is about: itself, or the thing that a question asks about; empty where that is not plain."""
    shown = _shown(topic)
    if not plain(topic).endswith("?"):
        return shown
    found = _SUBJECT.match(shown)
    about = found["subject"] if found else ""
    named = len(about.split()) <= _LONGEST_SUBJECT and any(word.isalpha() for word in content(about))
    return about if named else ""


def defaults(topic: str) -> list[str]:
    """Five different questions that any topic allows."""
    about = subject(topic)
    if about or not plain(topic).endswith("?"):
        return [form.format(subject=about or "this") for form in _ABOUT_A_SUBJECT]
    return [*(own(topic) or ["What is this?"]), *(form.format(topic=_shown(topic)) for form in _ABOUT_A_QUESTION)]


def _shown(topic: str) -> str:
    return clipped(plain(topic), TOPIC_SHOWN).rstrip("?.! ")


def _sound(question: str, topic: str) -> bool:
    mine = set(content(topic))
    on_topic = not mine or bool(mine & set(content(question)))
    asks = (
        question.endswith("?")
        and question[-2:-1].isalnum()
        and len(sentences(question)) == 1
        and 3 <= len(words(question)) <= 40
    )
    return asks and on_topic and not _common(question, topic) and len(set(words(question))) > len(words(question)) / 2


def _common(question: str, topic: str) -> bool:
    """Whether a name of the topic is no name in the question: `a rainbow` where the topic says `Rainbow`."""
    names = {name.lower() for name in re.findall(r"(?<=\s)[A-Z][\w-]+", plain(topic))}
    return any(word in names for word in re.findall(r"[\w-]+", question) if word.islower())


def _beyond(topic: str, question: str) -> str:
    """The words of a question that its topic does not have: what makes it a question of its own."""
    mine = set(content(topic))
    return " ".join(word for word in words(question) if not mine & set(content(word))) or question
