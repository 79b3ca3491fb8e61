"""What is said to a model and what is made of its reply: pure functions between prompts, JSON and pydantic models."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from inference.errors import ModelAnswerError

T = TypeVar("T", bound=BaseModel)
Message = dict[str, str]

BYTES_PER_TOKEN = 3  # English takes about four, other scripts about three; better too dear than too cheap
PER_MESSAGE = 8  # what a chat template adds to each message
IMPOSSIBLE = 5  # times what was expected: a server that counts more than that counts wrongly
SHOWN_AGAIN = 1500  # characters of a wrong answer that the model sees again
_FENCE = re.compile(r"^\s*```(?:json)?\s*(.*?)\s*```\s*$", re.DOTALL)


@dataclass(frozen=True)
class Reply:
    """What the model said, and whether `max_tokens` cut it."""

    text: str
    cut: bool = False


def messages(system: str, prompt: str) -> list[Message]:
    """A conversation of one turn.

    Raises:
        TypeError: when one of them is no text.
    """
    for what, given in (("prompt", prompt), ("system", system)):
        if not isinstance(given, str):
            raise TypeError(f"the {what} must be a str, got {_a(given)}")
    return [{"role": "system", "content": system}] * bool(system) + [{"role": "user", "content": prompt}]


def response_format(shape: type[BaseModel]) -> dict[str, Any]:
    """OpenAI's request for an object of `shape`, and of nothing beside what it names.

    Raises:
        TypeError: when it is no class of pydantic's.
    """
    if not (isinstance(shape, type) and issubclass(shape, BaseModel)):
        raise TypeError(f"call it as answer(Shape, prompt), where Shape is a class of pydantic's BaseModel; got {_a(shape)}")
    return {"type": "json_schema", "json_schema": {"name": shape.__name__, "schema": _closed(shape.model_json_schema())}}


def _a(given: Any) -> str:
    return f"the class {given.__name__}" if isinstance(given, type) else f"a {type(given).__name__}"


def _closed(schema: Any) -> Any:
    """A schema whose objects take no further properties: where it leaves that open, some servers let a model add its own."""
    if isinstance(schema, list):
        return [_closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def estimate(said: Sequence[Mapping[str, str]]) -> int:
    """Tokens of a conversation, rather too many than too few."""
    return sum(tokens_of(m["content"]) + PER_MESSAGE for m in said)


def tokens_of(text: str) -> int:
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def counted(usage: object, prompt: int, text: str, most: int) -> tuple[int, int, bool]:
    """Prompt and completion tokens as the server says, or estimated (True) where it says nothing or nonsense."""
    asked, answered = (
        (usage.get("prompt_tokens"), usage.get("completion_tokens")) if isinstance(usage, dict) else (None, None)
    )
    if (
        type(asked) is int
        and type(answered) is int
        and 0 < asked <= IMPOSSIBLE * prompt + 1000
        and bool(text) <= answered <= IMPOSSIBLE * most + 1000
    ):
        return asked, answered, False
    return prompt, tokens_of(text), True


def reply(raw: Mapping[str, Any], call: str) -> Reply:
    """The first choice of a chat completion.

    Raises:
        ModelAnswerError: there is none, or it says nothing.
    """
    choices = raw.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ModelAnswerError(f"call {call}: the answer has no choices, only {sorted(raw)}")
    text, reason = text_of(raw), choices[0].get("finish_reason")
    if not text.strip():
        message = choices[0].get("message")
        refused = message.get("refusal") if isinstance(message, dict) else None
        why = f"the model declined: {refused}" if refused else f"finish_reason {reason!r}"
        raise ModelAnswerError(f"call {call}: the answer is empty ({why})")
    return Reply(text, cut=reason == "length")


def text_of(raw: Mapping[str, Any]) -> str:
    """What the first choice of a chat completion says."""
    try:
        content = raw["choices"][0]["message"]["content"]
    except (LookupError, TypeError):
        return ""
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content if isinstance(content, str) else ""


def parsed(shape: type[T], answered: Reply, max_tokens: int) -> tuple[T | None, str]:
    """The object of `shape` in an answer, or None and what is wrong with it."""
    fenced = _FENCE.match(answered.text)
    text = fenced[1] if fenced else answered.text
    try:
        return shape.model_validate_json(text), ""
    except ValidationError as error:
        problems = error.errors(include_url=False, include_input=False, include_context=False)
    if answered.cut:
        return None, f"it was cut off at max_tokens={max_tokens}, before its end"
    if problems[0]["type"] == "json_invalid":
        return None, f"it is no JSON ({problems[0]['msg']})"
    return None, "; ".join(f"{'.'.join(map(str, p['loc'])) or 'the whole'}: {p['msg']}" for p in problems[:5])


def repair(said: Sequence[Message], wrong: str, why: str, shape: type[BaseModel]) -> list[Message]:
    """The conversation that shows a model its wrong answer and asks once more."""
    schema = json.dumps(shape.model_json_schema(), ensure_ascii=False, separators=(",", ":"))
    asked = f"That answer is wrong: {why}. Answer again, shorter, only with a JSON object of this schema: {schema}"
    shown = [{"role": "assistant", "content": wrong[:SHOWN_AGAIN]}, {"role": "user", "content": asked}]
    return [*said, *shown]
