"""What `ctx.llm` is: a model behind the scheduler, each call with the step's key, its time and its request's budget.

    client = from_environment(os.environ)
    llm = client.for_step(key="<request>/research/1.0", deadline=..., budget_tokens=20_000, time_limit_s=60, ...)
    plan = await llm.answer(Plan, "Which questions ...?")

Budgets, breakers and waiting are the scheduler's. A call is tried again only where nothing was bought: the scheduler refused
the connection, or answered 429 or 503.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from inference import answers, tracing
from inference.accounts import Accounts
from inference.errors import (
    ChangedCallError,
    InferenceError,
    ModelAnswerError,
    ModelUnavailableError,
    OutOfBudgetError,
    OutOfTimeError,
    UnknownModelError,
)
from inference.transport import NothingBoughtError, Transport

T = TypeVar("T", bound=BaseModel)
V = TypeVar("V")

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 5.0
CONNECTIONS_TRIED = 7  # about 12 s, for a server that is being started again
SHARE_OF_STEP = 0.95  # a call ends before its step does, so that the step can still say why
MARGIN_S = 0.25  # the scheduler refuses a little before its caller hangs up


@dataclass
class Usage:
    """What a step's answers cost, in tokens and money; `estimated` when a server's figures were missing or impossible."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    estimated: bool = False
    cost: float = 0.0
    currency: str = ""
    refused: int = 0  # calls that the request's budget had no room for

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass
class Client:
    """One model server; hands out the model of each step."""

    url: str
    model: str | None = None
    key: str | None = field(default=None, repr=False)
    clock: Callable[[], datetime] = field(default=lambda: datetime.now(UTC), repr=False)
    listed: str = field(default="", init=False, repr=False)  # where no model is configured: the one found

    def __post_init__(self) -> None:
        self.transport = Transport(self.url, self.key)
        self.accounts = Accounts(self.transport)

    def for_step(
        self,
        *,
        key: str,
        account: str = "",
        deadline: datetime,
        budget_tokens: int,
        time_limit_s: float,
        traceparent: str | None,
        redriven: bool = False,
    ) -> StepModel:
        """The model for one step, whose key every call carries and whose limits no call passes.

        Args:
            account: who pays; the request that the key names where it is empty.
            redriven: somebody sends the step on, and may have changed what its agent asks: that is bought, once.
        """
        left = min(time_limit_s * SHARE_OF_STEP, (deadline - self.clock()).total_seconds())
        headers = {
            "Torpor-Request": account or key.partition("/")[0],
            "Torpor-Deadline": deadline.isoformat(),
            "Torpor-Budget": str(budget_tokens),
        }
        if traceparent:
            headers["traceparent"] = traceparent
        return StepModel(self, key, time.monotonic() + left, headers, redriven)

    async def served(self, seconds: float) -> str:
        """The model's name for requests: the configured one, else the first that the server lists."""
        if self.model:
            return self.model
        if not self.listed:
            listed = (await self.transport.get("models", seconds)).get("data")
            try:
                self.listed = str(listed[0]["id"])  # type: ignore[index]
            except (TypeError, LookupError) as error:
                raise ModelAnswerError(f"{self.url}/models lists no model; set TORPOR_MODEL") from error
        return self.listed

    def forget(self, name: str) -> None:
        """The server serves this model no longer; `served` asks again which it does."""
        if self.listed == name:
            self.listed = ""


def from_environment(environ: Mapping[str, str]) -> Client:
    """The client that TORPOR_MODEL_URL, TORPOR_MODEL and TORPOR_MODEL_KEY name; without a URL, only its calls fail."""
    url, model, key = (environ.get(name, "").strip() for name in ("TORPOR_MODEL_URL", "TORPOR_MODEL", "TORPOR_MODEL_KEY"))
    return Client(url, model or None, key or None)


class StepModel:
    """The model of one step: counts its calls, and ends with its time."""

    def __init__(self, client: Client, key: str, until: float, headers: Mapping[str, str], redriven: bool = False) -> None:
        self.usage = Usage()
        self.name = client.model or client.listed
        self._client, self._key, self._until, self._headers = client, key, until, headers
        self._redriven, self._ordinal = redriven, 0

    def __repr__(self) -> str:
        return f"StepModel({self._key!r}, {self.name or self._client.url!r}, {self.usage})"

    async def served(self) -> str:
        """The name of the model that calls go to, before any is made; a call's own answer may come from another one."""
        self.name = self.name or await self._waited(self._key, self._client.served)
        return self.name

    async def text(
        self, prompt: str, *, system: str = "", max_tokens: int = 256, temperature: float = 0.0, model: str = ""
    ) -> str:
        """The model's answer as plain text, which may end where `max_tokens` cuts it; `model` names another one."""
        call = f"{self._key}#{self._next()}.0"
        body = {"messages": answers.messages(system, prompt), "max_tokens": max_tokens, "temperature": temperature}
        return (await self._bought(call, body, model)).text.strip()

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
        """The model's answer as an object of `shape`; when it is not one, the model is shown why and asked once more.

        Raises:
            ModelAnswerError: the second answer was wrong as well.
        """
        ordinal = self._next()
        said = answers.messages(system, prompt)
        body = {"max_tokens": max_tokens, "temperature": temperature, "response_format": answers.response_format(shape)}
        for repair in (0, 1):
            reply = await self._bought(f"{self._key}#{ordinal}.{repair}", {"messages": said, **body}, model)
            found, wrong = answers.parsed(shape, reply, max_tokens)
            if found is not None:
                return found
            said = answers.repair(said, reply.text, wrong, shape)
        raise ModelAnswerError(f"call {self._key}#{ordinal}: {self.name} gave no {shape.__name__}, asked twice: {wrong}")

    def _next(self) -> int:
        self._ordinal += 1
        return self._ordinal

    async def _bought(self, call: str, body: dict[str, Any], model: str) -> answers.Reply:
        named = model or await self._waited(call, self._client.served)
        try:
            return await self._asked(call, {"model": named, **body})
        except UnknownModelError:  # a process may outlive a model
            self._client.forget(named)
            served = model or await self._waited(call, self._client.served)
            if served == named:
                raise
            return await self._asked(call, {"model": served, **body})

    async def _asked(self, call: str, body: dict[str, Any]) -> answers.Reply:
        try:
            return await self._keyed(call, body)
        except ChangedCallError:
            if not self._redriven:
                raise
            return await self._keyed(f"{call}~{_digest(body)}", body)

    async def _keyed(self, call: str, body: dict[str, Any]) -> answers.Reply:
        with tracing.calling(self._client.url, call, body, self._headers) as traced:
            raw = await self._waited(call, lambda seconds: self._post(call, body, seconds, traced.headers))
            traced.answered(raw, *self._count(raw, body))
        self.name = str(raw.get("model") or body["model"])
        return answers.reply(raw, call)

    async def _post(self, call: str, body: dict[str, Any], seconds: float, headers: Mapping[str, str]) -> dict[str, Any]:
        headers = {**headers, "Torpor-Call": call, "Torpor-Wait": f"{max(0.0, seconds - MARGIN_S):.3f}"}
        try:
            return await self._client.transport.send("POST", "chat/completions", body, headers, seconds)
        except NothingBoughtError:
            raise
        except InferenceError as error:
            self.usage.refused += isinstance(error, OutOfBudgetError)
            raise type(error)(f"call {call}: {error}") from error

    async def _waited(self, call: str, ask: Callable[[float], Awaitable[V]]) -> V:
        """The reply, asked for again while the server takes nothing and there is time."""
        tries, last = 0, "the step's time was over before"
        while (left := self._until - time.monotonic()) > 0:
            try:
                return await ask(left)
            except NothingBoughtError as error:
                tries, last = tries + 1, str(error)
                pause = pause_after(tries, error.after)
                if not error.busy and (tries >= CONNECTIONS_TRIED or pause > left):
                    raise ModelUnavailableError(f"call {call}: {last} ({tries} times)") from error
            if pause > left:
                break
            await asyncio.sleep(pause)
        raise OutOfTimeError(f"call {call}: no answer in the step's time, asked {tries} times; {last}")

    def _count(self, raw: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[int, int]:
        prompt, text, told = answers.estimate(body["messages"]), answers.text_of(raw), raw.get("torpor")
        asked, answered, estimated = answers.counted(raw.get("usage"), prompt, text, body["max_tokens"])
        told = told if isinstance(told, dict) else {}
        self.usage.calls += 1
        self.usage.prompt_tokens += asked
        self.usage.completion_tokens += answered
        self.usage.estimated = self.usage.estimated or estimated or told.get("estimated") is True
        self.usage.cost += float(told.get("cost") or 0)
        self.usage.currency = str(told.get("currency") or self.usage.currency)
        return asked, answered


def _digest(body: Mapping[str, Any]) -> str:
    """What tells a call from another of its number; the model is no part of it."""
    asked = {name: value for name, value in body.items() if name != "model"}
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:12]


def pause_after(tries: int, asked: float | None) -> float:
    """Seconds to wait before the next try: doubling, spread, and never shorter than the server asked for."""
    pause: float = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(tries - 1, 10)) * random.uniform(0.75, 1.0)  # noqa: S311
    return max(pause, min(asked, 60.0)) if asked else pause
