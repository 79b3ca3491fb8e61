"""A model that is a function: what `ctx.llm` is, without HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from inference.answers import estimate, messages, tokens_of
from inference.client import Usage
from inference.errors import OutOfBudgetError
from inference.examples import WORDS, example

T = TypeVar("T", bound=BaseModel)
NAME = "fake-model"


@dataclass(frozen=True)
class Asked:
    """A call that a FakeModel got."""

    prompt: str
    system: str
    shape: type[BaseModel] | None
    max_tokens: int
    model: str = ""


class FakeModel:
    """What `ctx.llm` is, answering from a function of the call or from a list; an exception in either is raised.

    Without either it says a fixed text, or an object made from the schema.
    """

    def __init__(self, answers: Callable[[Asked], Any] | Iterable[Any] | None = None, *, name: str = NAME) -> None:
        self.usage, self.name, self._name, self.calls = Usage(), name, name, list[Asked]()
        self._function = answers if callable(answers) else None
        self._script = None if answers is None or callable(answers) else iter(answers)

    async def served(self) -> str:
        """Its name."""
        return self._name

    async def text(
        self, prompt: str, *, system: str = "", max_tokens: int = 256, temperature: float = 0.0, model: str = ""
    ) -> str:
        """The next answer as text."""
        return str(self._next(Asked(prompt, system, None, max_tokens, model), WORDS.strip()))

    async def answer(
        self,
        shape: type[T],
        prompt: str,
        *,
        system: str = "",
        max_tokens: int = 256,
        temperature: float = 0.0,
        model: str = "",
    ) -> T:
        """The next answer as an object: scripted as an instance, a mapping or JSON text."""
        found = self._next(Asked(prompt, system, shape, max_tokens, model), example(shape.model_json_schema()))
        if isinstance(found, shape):
            return found
        return shape.model_validate_json(found if isinstance(found, str) else json.dumps(found, default=str))

    def _next(self, asked: Asked, otherwise: Any) -> Any:
        self.calls.append(asked)
        self.name = asked.model or self._name
        found = otherwise
        if self._function:
            found = self._function(asked)
        elif self._script:
            found = next(self._script, AssertionError(f"the script has {len(self.calls) - 1} answers; asked for one more"))
        self.usage.refused += isinstance(found, OutOfBudgetError)
        if isinstance(found, BaseException):
            raise found
        self.usage.calls += 1
        self.usage.prompt_tokens += estimate(messages(asked.system, asked.prompt))
        self.usage.completion_tokens += tokens_of(found.model_dump_json() if isinstance(found, BaseModel) else str(found))
        return found
