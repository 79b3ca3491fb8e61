"""One call being bought: attempts at servers until one gave the whole answer, each going on where the last broke off."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

from inference.answers import counted, tokens_of
from inference.scheduler.assembly import Assembly, says, text_of
from inference.scheduler.book import Record
from inference.scheduler.config import Limits
from inference.scheduler.errors import BudgetError, RefusedError, ServerError
from inference.scheduler.failures import (
    BrokenError,
    BusyError,
    LostError,
    SilentError,
    UnavailableError,
    UnreachedError,
    UpstreamError,
)
from inference.scheduler.generation import Generation
from inference.scheduler.journal import Journal
from inference.scheduler.ledger import Hold
from inference.scheduler.metrics import Metrics
from inference.scheduler.prefix import going_on
from inference.scheduler.queueing import Place
from inference.scheduler.servers import ModelServer
from inference.scheduler.upstream import Upstream
from inference.scheduler.wire import CHAT

BEYOND, FEW = 2, 100  # times max_tokens, and chunks: a server that says more does not heed it
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Means:
    """What buying needs."""

    upstream: Upstream
    journal: Journal
    metrics: Metrics
    limits: Limits


@dataclass
class Purchase:
    """The state of one call over all its attempts. `kept` tokens were said and are gone on from; `twice` were given up."""

    means: Means
    generation: Generation
    hold: Hold
    kept: int = 0
    model: str = ""  # that said what is kept
    prompt_tokens: int = 0  # bought by attempts that broke off
    twice: int = 0
    failures: int = 0
    failed_on: set[str] = field(default_factory=set)
    assembly: Assembly = field(init=False)

    def __post_init__(self) -> None:
        ask = self.generation.ask
        self.assembly = Assembly(ask.path)
        call = self.means.journal.book.calls.get(ask.key) if ask.key else None
        if call is not None and call.begun:  # an earlier life of the scheduler began it
            self.kept, self.model, self.twice = call.tokens, call.server, call.twice
            self.prompt_tokens = call.prompt_tokens + ask.prompt_tokens
            if call.text:
                self._said(_chunk(ask.path, call.text))

    @property
    def text(self) -> str:
        return self.assembly.text

    def _said(self, chunk: dict[str, Any]) -> None:
        ended = self.assembly.finished
        self.assembly.add(chunk)
        if says(chunk) or not self.generation.begun or self.assembly.finished > ended:
            self.generation.add(chunk)

    def _write(self, record: Record) -> None:
        if self.generation.ask.key:
            self.means.journal.write({**record, "k": self.generation.ask.key})

    async def _write_bought(self, record: Record) -> None:
        """Write down what is bought already, which a full volume must not lose."""
        if self.generation.ask.key:
            await self.means.journal.write_once_there_is_room({**record, "k": self.generation.ask.key})

    def _spent(self, prompt: int, completion: int) -> None:
        """Tokens of a call without a key, which are written down as they are bought (or turn out not to be)."""
        ask = self.generation.ask
        if ask.request and not ask.key and (prompt or completion):
            self.means.journal.write({"t": "spent", "r": ask.request, "p": prompt, "c": completion})
            self.hold.spent(prompt)

    async def attempt(self, place: Place, model: str) -> None:
        """Ask the server of a place, which calls the model `model`; the generation is finished then.

        Raises:
            UpstreamError: it failed; another attempt may follow.
            RefusedError: it declined, as every other would.
        """
        server, failed = place.server, None
        silent = False
        try:
            await self._asked(server, model, self._patience_s(server) if place.probe else math.inf)
            failed = server.lost = False
        except UpstreamError as error:
            failed, silent = True if error.counts else None, isinstance(error, SilentError)
            # A probe whose connection broke tells nothing new: else a server that lives were probed every second.
            server.lost = isinstance(error, UnreachedError) or (isinstance(error, LostError) and not place.probe)
            self._note(server, error)
            raise
        except RefusedError:
            failed = server.lost = False
            self._write({"t": "lost", "p": 0})
            self._spent(-self.generation.ask.prompt_tokens, 0)
            raise
        except BudgetError:
            self._write({"t": "lost", "p": self.generation.ask.prompt_tokens})
            raise
        finally:
            server.breaker.leave(place.probe, failed=failed, silent=silent)

    def _patience_s(self, server: ModelServer) -> float:
        """The silence that a probe bears; more of a server that died: just started, it is slow at first."""
        patience_s = server.breaker.patience_s
        return max(patience_s, self.means.limits.stall_s) if server.lost else patience_s

    async def _asked(self, server: ModelServer, model: str, silence_s: float) -> None:
        ask, going = self.generation.ask, self._going(server, model)
        self.hold.cover(self.twice + ask.tokens + (self.prompt_tokens if ask.key else 0))
        body = {**(going or ask.body), "model": model}
        self.model, self.generation.bought = model, True
        self._write({"t": "begin", "r": ask.request, "g": ask.digest, "s": model, "p": ask.prompt_tokens})
        self._spent(ask.prompt_tokens, 0)
        before, begun, first = self.text, time.monotonic(), 0.0
        kept = self.kept
        headers = {"X-Request-Id": ask.key} if ask.key else {}
        headers |= {"traceparent": ask.traceparent} if ask.traceparent else {}
        async with aclosing(self.means.upstream.stream(server.config, ask.path, body, headers, silence_s)) as chunks:
            async for chunk in chunks:
                if not first:
                    first = time.monotonic() - begun
                    self.means.metrics.generations.labels(server.name).inc()
                await self._take(chunk, kept)
                if ask.bounded and self.kept > kept + BEYOND * (ask.max_tokens - kept) + FEW:
                    self._cut(server)
                    break
        if not self.assembly.finished:
            raise BrokenError(f"{server.name} broke off in the middle of its answer")
        said = self.text[len(before) :]
        left = ask.max_tokens - kept
        asked, answered, estimated = counted(self.assembly.usage, ask.prompt_tokens + kept, said, left)
        server.pace.observe(first, time.monotonic() - begun, answered, left)
        self.means.metrics.first_token_s.labels(server.name).observe(first)
        await self._finish(server, asked, asked - kept if going else asked, kept + answered, estimated)

    def _cut(self, server: ModelServer) -> None:
        """End an answer that its server does not end where it was told to."""
        _log.warning("%s says more than max_tokens; its answer is cut", server.name)
        ends = [{"index": index, "delta": {}, "finish_reason": "length"} for index in self.assembly.unfinished]
        self._said({"object": "chat.completion.chunk", "choices": ends})

    async def _take(self, chunk: dict[str, Any], before: int) -> None:
        """One more chunk of an attempt that began with `before` tokens kept; a server under load puts several into one."""
        if says(chunk):
            usage = chunk.get("usage")
            told = usage.get("completion_tokens") if isinstance(usage, dict) else None
            if type(told) is not int or told > self.generation.ask.max_tokens - before:
                told = 0  # it cannot be
            tokens = max(1, before + told - self.kept)
            self.kept += tokens
            await self._write_bought({"t": "delta", "c": text_of(chunk), **({"n": tokens} if tokens > 1 else {})})
        self._said(chunk)

    def _going(self, server: ModelServer, model: str) -> dict[str, Any] | None:
        """How to go on with what was said; what cannot be gone on with is given up."""
        if not self.kept:
            return None
        ask = self.generation.ask
        plain = self.assembly.plain and bool(self.text) and model == self.model
        going = going_on(server.config, ask, self.text, self.kept) if plain else None
        if going is None:
            self.twice += self.kept
            self.means.metrics.twice.labels(server.name).inc(self.kept)
            self._write({"t": "anew"})
            self.kept, self.assembly = 0, Assembly(ask.path)
            self.generation.restart()
        return going

    def _note(self, server: ModelServer, error: UpstreamError) -> None:
        """A server failed: say so, and remember what may have been bought."""
        self.means.metrics.failures.labels(server.name, type(error).__name__).inc()
        if not error.bought:
            self._write({"t": "back", "p": self.generation.ask.prompt_tokens})
            self._spent(-self.generation.ask.prompt_tokens, 0)
        if error.after:
            server.paused_until = max(server.paused_until, time.monotonic() + error.after)
        if isinstance(error, BusyError):
            return
        self.failed_on.add(server.name)
        if isinstance(error, UnreachedError | UnavailableError):
            return
        if error.bought:
            self.prompt_tokens += self.generation.ask.prompt_tokens
        self.failures += 1
        if self.failures >= self.means.limits.attempts:
            self._write({"t": "lost", "p": self.generation.ask.prompt_tokens * error.bought})
            raise ServerError(f"{error} ({self.failures} servers or tries failed on this call)") from error

    async def _finish(self, server: ModelServer, asked: int, prompt: int, completion: int, estimated: bool) -> None:
        ask, metrics, price = self.generation.ask, self.means.metrics, server.config.price
        bought_prompt, bought = self.prompt_tokens + asked, completion + self.twice
        answer = self.assembly.answer()
        answer["usage"] = {
            "prompt_tokens": max(1, prompt),
            "completion_tokens": completion,
            "total_tokens": max(1, prompt) + completion,
        }
        answer["torpor"] = {
            "server": server.name,
            "bought_tokens": bought_prompt + bought,
            "tokens_twice": self.twice,
            "estimated": estimated,
            "cost": round(price.of(bought_prompt, bought), 8),
            "currency": price.currency,
        }
        if ask.key:
            await self._write_bought({"t": "end", "a": answer, "p": bought_prompt, "c": bought})
        self._spent(asked - ask.prompt_tokens, bought)
        metrics.tokens.labels(server.name, "prompt").inc(bought_prompt)
        metrics.tokens.labels(server.name, "completion").inc(bought)
        metrics.cost.labels(server.name, price.currency).inc(price.of(bought_prompt, bought))
        self.generation.finish(answer)

    def abandon(self) -> None:
        """Account for an answer that was given up in the middle."""
        if not self.generation.done:
            self._spent(0, max(self.kept, tokens_of(self.text)) + self.twice)


def _chunk(path: str, text: str) -> dict[str, Any]:
    said: Mapping[str, Any] = {"delta": {"role": "assistant", "content": text}} if path == CHAT else {"text": text}
    kind = "chat.completion.chunk" if path == CHAT else "text_completion"
    return {"object": kind, "choices": [{"index": 0, **said, "finish_reason": None}]}
