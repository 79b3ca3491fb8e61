"""Sub-questions of a topic: which of the model's are of use, and sound ones where it has none."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, Field, create_model

from functions.prose import clipped, content, likeness, plain, sentences, words

TOPIC_SHOWN = 300  # characters of a topic inside a question or prompt
SAME = 0.6  # questions that share more of their content words ask the same
SYSTEM = "You plan research. You write short, precise questions that a reader of technical notes can answer."
_ABOUT_A_SUBJECT = (
    "What is known about {topic}, and why does it matter?",
    "Which methods, standards and results matter most for {topic}?",
    "Which attacks, risks, weaknesses and open problems are known of {topic}?",
    "Which sizes, costs, speeds and other figures are given on {topic}?",
    "What is planned for {topic}, by whom and by when?",
)
_ABOUT_A_QUESTION = (
    "{topic}?",
    "Which figures, dates and names answer this: {topic}?",
    "Which reasons and causes are given for this: {topic}?",
    "Which limits, exceptions and objections are there to this: {topic}?",
    "What follows in practice from this: {topic}?",
)


class Plan(BaseModel):
    """What the model answers."""

    questions: list[Annotated[str, Field(max_length=200)]]


def plan_of(count: int) -> type[Plan]:
    """A plan of exactly `count` questions."""
    questions = (list[Annotated[str, Field(max_length=200)]], Field(min_length=count, max_length=count))
    return create_model("Plan", __base__=Plan, questions=questions)


def prompt(topic: str, count: int) -> str:
    return (
        f"Topic: {clipped(plain(topic), TOPIC_SHOWN)}\n\n"
        f"Write exactly {count} different question(s) about this topic, each about another side of it. "
        "Each is one sentence, names the topic in its words and ends with a question mark."
    )


def chosen(topic: str, proposed: Iterable[str], count: int) -> list[str]:
    """Exactly `count` different questions on the topic: what is sound of the proposed ones, then the defaults."""
    found: list[str] = []
    for question in [plain(question) for question in proposed if _sound(plain(question), topic)] + defaults(topic):
        if len(found) < count and all(likeness(_beyond(topic, question), _beyond(topic, other)) < SAME for other in found):
            found.append(question)
    rest = [question for question in defaults(topic) if question not in found]
    return found + rest[: count - len(found)]


def defaults(topic: str) -> list[str]:
    """Five different questions that any topic allows."""
    shown = clipped(plain(topic), TOPIC_SHOWN)
    asked = shown.endswith("?")
    return [form.format(topic=shown.rstrip("?.! ") or "this") for form in (_ABOUT_A_QUESTION if asked else _ABOUT_A_SUBJECT)]


def _sound(question: str, topic: str) -> bool:
    subject = set(content(topic))
    on_topic = not subject or bool(subject & set(content(question)))
    asks = question.endswith("?") and len(sentences(question)) == 1 and 4 <= len(words(question)) <= 40
    return asks and on_topic and bool(set(content(question)) - subject)


def _beyond(topic: str, question: str) -> str:
    """The words of a question that its topic does not have: what makes it a question of its own."""
    subject = set(content(topic))
    return " ".join(word for word in words(question) if not subject & set(content(word))) or question
