"""A call from its key to its answer: joined, known, or bought once, from whichever server can."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

from inference.scheduler.admission import Admission
from inference.scheduler.archive import Archive, ArchiveError
from inference.scheduler.book import KnownCall
from inference.scheduler.buying import Means, Purchase
from inference.scheduler.config import Pool, Pools
from inference.scheduler.errors import (
    CallError,
    JournalError,
    KeyConflictError,
    NotInTimeError,
    RefusedError,
    ServerError,
    UnknownModelError,
)
from inference.scheduler.failures import UpstreamError
from inference.scheduler.generation import Generation
from inference.scheduler.journal import Journal
from inference.scheduler.ledger import Hold, Ledger
from inference.scheduler.metrics import Metrics
from inference.scheduler.upstream import Upstream
from inference.scheduler.wire import Ask

DEFAULT = "default"  # the first pool's first model
_log = logging.getLogger(__name__)


class Calls:
    """Brings every call to its answer."""

    def __init__(
        self,
        pools: Pools,
        admission: Admission,
        upstream: Upstream,
        journal: Journal,
        archive: Archive,
        metrics: Metrics,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._pools, self._admission, self._journal, self._archive = pools, admission, journal, archive
        self._metrics, self._clock = metrics, clock
        self._means = Means(upstream, journal, metrics, pools.limits)
        self.ledger = Ledger(journal, pools.limits.open_requests)
        self._by_model = {model: pool for pool in pools.pools for model in pool.models}
        self._by_model.setdefault(DEFAULT, pools.pools[0])
        self._running: dict[str, Generation] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def models(self) -> list[str]:
        return [model for pool in self._pools.pools for model in pool.models]

    def begin(self, ask: Ask) -> Generation:
        """The generation that answers a call, begun or joined. Whoever asked says `leave` when it goes.

        Raises:
            KeyConflictError: its key belongs to another prompt.
        """
        until = self._until(ask)
        running = self._running.get(ask.key) if ask.key else None
        if running is not None:
            _same(ask, running.ask.digest)
            running.join(until)
            return running
        made = Generation(ask)
        made.join(until)
        if ask.key:
            self._running[ask.key] = made
        made.task = self._spawn(self._bring(made))
        return made

    def leave(self, generation: Generation) -> None:
        """A caller goes. What nobody waits for is ended, unless its key will be asked for again and it is bought already."""
        generation.followers -= 1
        if generation.followers or generation.done:
            return
        if generation.ask.key and generation.bought:
            later = self._pools.limits.unattended_s
            generation.unattended = asyncio.get_running_loop().call_later(later, self._end, generation)
        else:
            self._end(generation)

    def _end(self, generation: Generation) -> None:
        """Give a generation up; who asks for its key from now on begins anew."""
        self._forget(generation)
        if generation.task and not generation.done:
            generation.task.cancel()

    def _forget(self, generation: Generation) -> None:
        if generation.ask.key and self._running.get(generation.ask.key) is generation:
            del self._running[generation.ask.key]

    async def close(self) -> None:
        """End everything; what was said so far is in the journal."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def recover(self) -> None:
        """Put into the archive what the journal has from before."""
        for call in self._journal.book.calls.values():
            if call.answer is not None:
                self._spawn(self._keep(call))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _pool(self, model: str) -> Pool:
        found = self._by_model.get(model)
        if found is None:
            raise UnknownModelError(f"no pool serves the model {model[:120]!r}; there are {', '.join(self.models)}")
        return found

    async def _keep(self, call: KnownCall) -> None:
        if call.answer is not None:
            await self._archive.put(call.key, call.digest, call.answer)
            call.archived = True

    async def _bring(self, generation: Generation) -> None:
        ask, outcome = generation.ask, "answered"
        try:
            if ask.key and (kept := await self._known(ask)) is not None:
                generation.finish(kept, "journal")
                outcome = "known"
            else:
                pool = self._pool(ask.model)
                async with self.ledger.reserved(ask, self._clock(), lambda: generation.until) as hold:
                    await self._buy(generation, pool, hold)
                if ask.key and (call := self._journal.book.calls.get(ask.key)):
                    self._spawn(self._keep(call))
        except CallError as error:
            generation.fail(error)
            outcome = "refused" if isinstance(error, RefusedError) else error.code  # its code is whatever the server says
        except asyncio.CancelledError:
            generation.fail(ServerError("every caller went away, or the scheduler is stopping; ask again"))
            outcome = "abandoned"
            raise
        except Exception:
            _log.exception("call %s", ask.key or "without a key")
            generation.fail(CallError("the scheduler failed on this call; its log says more"))
            outcome = "internal_error"
        finally:
            asked = ask.model if ask.model in self._by_model else "(unknown)"
            self._metrics.calls.labels(asked, outcome).inc()
            self._forget(generation)

    async def _known(self, ask: Ask) -> dict[str, Any] | None:
        """The answer that the key was given before."""
        assert ask.key
        call = self._journal.book.calls.get(ask.key)
        if call is not None:
            _same(ask, call.digest)
            return call.answer
        try:
            kept = await self._archive.get(ask.key)
        except ArchiveError as error:  # nobody knows whether it was bought
            raise JournalError(f"{error}; ask again later") from error
        if kept is None:
            return None
        _same(ask, str(kept["digest"]))
        return dict(kept["answer"])

    async def _buy(self, generation: Generation, pool: Pool, hold: Hold) -> None:
        """Ask servers until one has given the whole answer."""
        ask = generation.ask
        purchase = Purchase(self._means, generation, hold)
        try:
            while not generation.done:
                until, shunned = generation.until, purchase.failed_on
                try:
                    async with self._admission.place(pool.name, ask, until, shunned, again=generation.bought) as place:
                        self._metrics.queue_s.observe(place.waited_s)
                        await purchase.attempt(place, place.server.config.model or self._named(ask.model))
                except UpstreamError as error:
                    _log.warning("call %s: %s", ask.key or "without a key", error)
                except NotInTimeError:
                    if generation.until == until:  # else somebody joined who can wait longer
                        raise
        finally:
            purchase.abandon()

    def _named(self, model: str) -> str:
        return model if model in self.models else self._pools.pools[0].models[0]

    def _until(self, ask: Ask) -> float | None:
        """When the answer must be there, by the monotonic clock."""
        left = [ask.wait_s] if ask.wait_s is not None else []
        if ask.deadline is not None:
            left.append((ask.deadline - self._clock()).total_seconds())
        return time.monotonic() + min(left) if left else None


def _same(ask: Ask, digest: str) -> None:
    if ask.digest != digest:
        raise KeyConflictError(
            f"the call key {ask.key} belongs to another prompt (digest {digest[:12]}, now {ask.digest[:12]}): "
            "one key is one call; count calls up, or take another key"
        )
