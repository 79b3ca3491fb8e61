"""An answer while it comes into being: one task writes it, any number of callers follow it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from inference.scheduler.assembly import as_chunk
from inference.scheduler.errors import CallError, ServerError
from inference.scheduler.wire import Ask


class Generation:
    """The answer to one call.

    A keyed call has one generation, however many callers ask: the first begins it, the others join. Where what was said had
    to be given up (`restart`), whoever has heard a part of it already is told so and asks again.
    """

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.task: asyncio.Task[None] | None = None
        self.followers = 0
        self.until: float | None = 0.0  # when the last of its callers stops waiting, by the monotonic clock; None: never
        self.unattended: asyncio.TimerHandle | None = None  # it ends when nobody has come back until then
        self.bought = False  # a server was asked
        self.origin = "new"  # or "journal"
        self.answer: dict[str, Any] | None = None
        self._chunks: list[dict[str, Any]] = []
        self._error: CallError | None = None
        self._restarts = 0
        self._changed = asyncio.Event()

    @property
    def done(self) -> bool:
        return self.answer is not None or self._error is not None

    def join(self, until: float | None) -> None:
        """One more caller follows it, and waits so long."""
        self.followers += 1
        self.until = None if until is None or self.until is None else max(until, self.until)
        self._attended()

    def _attended(self) -> None:
        if self.unattended is not None:
            self.unattended.cancel()
            self.unattended = None

    @property
    def begun(self) -> bool:
        """Whether anything can be told of it."""
        return bool(self._chunks)

    def add(self, chunk: dict[str, Any]) -> None:
        """One more chunk of the answer."""
        self._chunks.append(chunk)
        self._tell()

    def restart(self) -> None:
        """Give up what was said."""
        if self._chunks:
            self._chunks = []
            self._restarts += 1

    def finish(self, answer: dict[str, Any], origin: str = "new") -> None:
        """The answer is whole."""
        self.answer, self.origin = answer, origin
        self._attended()
        if not self._chunks:
            self._chunks.append(as_chunk({name: value for name, value in answer.items() if name != "usage"}))
        self._tell()

    def fail(self, error: CallError) -> None:
        """There will be no answer."""
        if not self.done:
            self._error = error
            self._attended()
            self._tell()

    def _tell(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def whole(self) -> Mapping[str, Any]:
        """The answer, once it is whole.

        Raises:
            CallError: there is none.
        """
        while not self.done:
            await self._changed.wait()
        if self._error is not None:
            raise self._error
        assert self.answer is not None
        return self.answer

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The answer's chunks, those that came before included.

        Raises:
            CallError: it ended without an answer, or what was yielded already was given up.
        """
        given, restarts = 0, self._restarts
        while True:
            if restarts != self._restarts:
                if given:
                    raise ServerError("the model server failed in mid-answer and the answer was begun anew; ask again")
                restarts = self._restarts
            while given < len(self._chunks):
                given += 1
                yield self._chunks[given - 1]
                if restarts != self._restarts:
                    break
            else:
                if self._error is not None:
                    raise self._error
                if self.answer is not None:
                    return
                await self._changed.wait()
