"""`@agent`: an async function from one contract to others, and the `Context` that it works with."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from typing import Any, Protocol, TypeVar
from uuid import UUID

from pydantic import BaseModel

from eventing import places
from eventing.editions import account, suffix
from eventing.errors import WorkflowError
from schemas import Contract, StepState

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")


@dataclass(frozen=True)
class StepKey:
    """What makes a step the same step: all of it is carried in the event."""

    request_id: UUID
    step: str
    part: int | None = None
    revision: int = 0
    edition: int = 0  # that began it anew; in the key only where one did

    def path(self) -> str:
        """`requests/<request>/steps/<step>.<part>.<revision>[.e<edition>]`, with `-` for a step of the whole request.

        All steps' objects lie in one folder: where the bucket is one on a disk, making folders would take the longest.
        """
        return f"requests/{self.request_id}/steps/{self.step}.{self.part or '-'}.{self.revision}{suffix(self.edition)}"

    def __str__(self) -> str:
        return f"{account(self.request_id, self.edition)}/{self.step}/{self.part or '-'}.{self.revision}"


class Usage(Protocol):
    """What a step bought so far."""

    prompt_tokens: int
    completion_tokens: int
    calls: int
    cost: float
    currency: str
    refused: int  # calls that the request's budget had no room for

    @property
    def tokens(self) -> int: ...


class Model(Protocol):
    """The language model as an agent sees it; every call is keyed by step and ordinal.

    So the order of calls must not depend on which of several answers comes first.
    """

    @property
    def usage(self) -> Usage: ...

    @property
    def name(self) -> str:
        """The model's name, as its server says it."""
        ...

    async def served(self) -> str:
        """The name of the model that calls go to, before any is made."""
        ...

    async def text(
        self, prompt: str, *, system: str = "", max_tokens: int = 256, temperature: float = 0.0, model: str = ""
    ) -> str:
        """The model's answer as plain text; `model` names another one than is configured."""
        ...

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
        """The model's answer as an object of `shape`, with one repair attempt."""
        ...


class Bucket(Protocol):
    """The object store as an agent sees it: objects are created once and never changed."""

    async def create(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        """Write an object unless it is there; whether this call wrote it."""
        ...

    async def get(self, key: str) -> bytes | None: ...

    async def keys(self, prefix: str) -> list[str]: ...

    async def delete(self, key: str) -> None:
        """Remove an object of an index; results, events and markers are never removed."""
        ...


class Fetched(Protocol):
    """What a URL answered with, after redirects."""

    @property
    def url(self) -> str: ...

    @property
    def data(self) -> bytes: ...

    @property
    def media_type(self) -> str: ...


class Fetcher(Protocol):
    """The web as an agent sees it; what cannot be had is an `eventing.web.FetchError`."""

    async def get(self, url: str, *, apart_s: float = 0.0) -> Fetched:
        """What an API answers, at most one request every `apart_s` seconds."""
        ...

    async def page(self, url: str) -> Fetched:
        """What a page holds, where its host lets programs read it."""
        ...


class Mailer(Protocol):
    async def send(self, message: EmailMessage) -> bool:
        """Send a mail at most once per step; whether this call sent it."""
        ...


@dataclass
class Context:
    """What an agent is handed beside its event."""

    key: StepKey
    llm: Model
    bucket: Bucket
    mail: Mailer
    deadline: datetime
    budget_tokens: int
    public_url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now().astimezone())
    remember: Callable[[str, Callable[[], Awaitable[Any]]], Awaitable[Any]] | None = None
    done: Callable[[], Awaitable[Sequence[StepState]]] | None = None
    web: Fetcher | None = None
    coming: Callable[[str], None] | None = None

    def will_answer(self, contract: type[Contract]) -> None:
        """Say which event is sure to be answered with, as soon as it is: whoever takes it can wake meanwhile."""
        if self.coming:
            self.coming(contract.event)

    async def steps(self) -> Sequence[StepState]:
        """Every step of the request that is done, with what it cost; complete for a step that joins all parts."""
        return await self.done() if self.done else ()

    async def once(self, name: str, fn: Callable[[], Awaitable[V]]) -> V:
        """The value of `fn()`, which must be JSON: computed once, remembered with the step, the same on every later run."""
        return await (self.remember(name, fn) if self.remember else fn())


Handler = Callable[[Any, Context], Awaitable[Any]]


@dataclass(frozen=True)
class Agent:
    """A registered agent; call it as the function that it is."""

    name: str
    handler: Handler
    takes: tuple[type[Contract], ...]
    answers: tuple[type[Contract], ...]
    joins: bool
    many: bool = False  # it may answer with several events
    silent: bool = False  # it may answer with none

    async def __call__(self, event: Any, ctx: Context) -> Any:
        return await self.handler(event, ctx)


def agent(name: str) -> Callable[[Handler], Agent]:
    """Make an agent of `async def handle(event: In, ctx: Context) -> Out`.

    In is a contract or a union of contracts, or `Sequence` of one where the step joins a request's parts. Out is a
    contract, a union of contracts, `Sequence` of one, or None.

    Raises:
        WorkflowError: when the function is not async or its annotations are not contracts.
    """

    def register(handler: Handler) -> Agent:
        where = f"{places.of_function(handler)}: agent {name!r}"
        if not inspect.iscoroutinefunction(handler):
            raise WorkflowError(f"{where}: the handler must be `async def`")
        hints = typing.get_type_hints(handler)
        parameters = list(inspect.signature(handler).parameters)
        if len(parameters) != 2 or parameters[0] not in hints or "return" not in hints:
            raise WorkflowError(f"{where}: write it as `async def handle(event: Contract, ctx: Context) -> Contract`")
        takes, joins = _contracts(hints[parameters[0]], where)
        answers, many = _contracts(hints["return"], where)
        silent = hints["return"] is type(None) or type(None) in typing.get_args(hints["return"])
        return Agent(name, handler, takes, answers, joins, many, silent)

    return register


def _contracts(hint: Any, where: str) -> tuple[tuple[type[Contract], ...], bool]:
    origin = typing.get_origin(hint)
    if origin in (list, tuple, Sequence) or (isinstance(origin, type) and issubclass(origin, Sequence)):
        inner = [a for a in typing.get_args(hint) if a is not Ellipsis]
        return _contracts(inner[0], where)[0], True
    if origin in (typing.Union, types.UnionType):
        found = [_contracts(option, where) for option in typing.get_args(hint)]
        return tuple(c for contracts, _ in found for c in contracts), any(many for _, many in found)
    if hint is type(None) or hint is None:
        return (), False
    if isinstance(hint, type) and issubclass(hint, Contract) and hint.event:
        return (hint,), False
    shown = hint.__name__ if isinstance(hint, type) else repr(hint)
    raise WorkflowError(f"{where}: {shown} is no contract; annotate with classes from `schemas`")
