"""Token budgets of requests: reserve before a call, settle after it, refuse what would go beyond."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from inference.scheduler.book import KnownRequest
from inference.scheduler.errors import BacklogError, BudgetError
from inference.scheduler.journal import Journal
from inference.scheduler.wire import Ask

READABLE_S = 60.0  # what a request said can be read so long after its end, by whoever comes back late
AFTER_DEADLINE_S = 900.0  # a request is forgotten so long after it should have ended
WITHOUT_DEADLINE = timedelta(hours=24)


class Ledger:
    """The accounts of all open requests; what is reserved lives in memory, what is spent in the journal."""

    def __init__(self, journal: Journal, most_open: int) -> None:
        self._journal, self._most_open = journal, most_open

    def open(self, request: str, budget: int | None, deadline: datetime, *, admitted: bool = False) -> KnownRequest:
        """The account of a request, opened unless it is; what its first opening said holds.

        Raises:
            BacklogError: `admitted` by the gateway, and more requests are open than the scheduler takes.
        """
        book = self._journal.book
        found = book.requests.get(request)
        if found is not None:
            return found
        if admitted and len(book.requests) >= self._most_open <= book.open:
            raise BacklogError(f"{book.open} requests are open, which is the limit; ask again later")
        self._journal.write({"t": "open", "r": request, "b": budget, "d": deadline.timestamp()})
        return book.requests[request]

    def end(self, request: str, now: datetime) -> None:
        """A request has ended: it counts no more among the open ones, and is forgotten when nobody reads it any more."""
        found = self._journal.book.requests.get(request)
        if found is not None and found.over is None:
            self._journal.write({"t": "over", "r": request, "at": now.timestamp()})

    def sweep(self, now: datetime) -> None:
        """Forget what has ended or has had its time, once its answers are in the archive and none is to come."""
        moment = now.timestamp()
        for name, request in list(self._journal.book.requests.items()):
            ended = request.over is not None and moment > request.over + READABLE_S
            late = request.deadline is not None and moment > request.deadline + AFTER_DEADLINE_S
            kept = all(call.archived for call in request.calls.values() if call.answer is not None)
            if (ended or late) and kept and not request.reserved:
                self._journal.write({"t": "close", "r": name})

    @asynccontextmanager
    async def reserved(self, ask: Ask, now: datetime) -> AsyncIterator[None]:
        """Hold back what a call may cost while it runs; calls beside it that may cost less than they hold are waited for.

        Raises:
            BudgetError: the request has too few tokens left; nothing was bought.
        """
        if not ask.request:
            yield
            return
        account = self.open(ask.request, ask.budget, ask.deadline or now + WITHOUT_DEADLINE)
        while account.budget is not None and account.spent + account.reserved + ask.tokens > account.budget:
            if account.spent + ask.tokens > account.budget:
                raise BudgetError(
                    f"the call may cost {ask.tokens} tokens and {max(0, account.budget - account.spent)} of "
                    f"{account.budget} are left to request {ask.request}; ask for fewer max_tokens, send a shorter prompt, "
                    "or give the request a larger budget"
                )
            await account.changed.wait()
        account.reserved += ask.tokens
        try:
            yield
        finally:
            account.reserved -= ask.tokens
            account.tell()
