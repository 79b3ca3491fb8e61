"""Token budgets of requests: reserve before a call, settle after it, refuse what would go beyond."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from inference.scheduler.book import KnownRequest
from inference.scheduler.errors import BacklogError, BudgetError, NotInTimeError
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
            if admitted and found.over is not None:  # it is taken up again
                self._journal.write({"t": "open", "r": request, "b": found.budget, "d": found.deadline})
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
    async def reserved(self, ask: Ask, now: datetime, until: Callable[[], float | None]) -> AsyncIterator[Hold]:
        """Hold back what a call may cost while it runs; calls beside it that may cost less than they hold are waited for.

        Args:
            until: how long they are waited for, by the loop's clock; it may grow meanwhile.

        Raises:
            BudgetError: the request has too few tokens left; nothing was bought.
            NotInTimeError: nobody knows in time whether it has enough.
        """
        hold = Hold(ask)
        while ask.request and not hold.taken(account := self._account(ask, now)):
            late = until()
            try:
                async with asyncio.timeout_at(late):
                    await account.changed.wait()
            except TimeoutError:
                if until() == late:
                    raise NotInTimeError(
                        f"the other calls of request {ask.request} hold back what is left of its budget until this call's "
                        "deadline; nothing was bought, ask again later or give it more time"
                    ) from None
        try:
            yield hold
        finally:
            hold.release()

    def _account(self, ask: Ask, now: datetime) -> KnownRequest:
        """The account of a call, opened anew where it was closed while the call waited."""
        assert ask.request
        return self.open(ask.request, ask.budget, ask.deadline or now + WITHOUT_DEADLINE)


class Hold:
    """What is held back of a request's budget for one call."""

    def __init__(self, ask: Ask) -> None:
        self._ask, self._account, self._tokens = ask, KnownRequest(), 0

    def taken(self, account: KnownRequest) -> bool:
        """Take what the call may cost out of an account; False while others hold too much of it.

        Raises:
            BudgetError: it will never have so much.
        """
        self._account = account
        if account.budget is not None and account.spent + self._ask.tokens > account.budget:
            raise self._refused(self._ask.tokens)
        return self._covered(self._ask.tokens)

    def cover(self, tokens: int) -> None:
        """Hold back more, or less: what was bought of a call already and has to be bought again counts too.

        Raises:
            BudgetError: there is not so much left.
        """
        if not self._covered(tokens):
            raise self._refused(tokens)

    def spent(self, tokens: int) -> None:
        """So much of it is in the journal; it is not held back as well."""
        self._account.reserved -= tokens
        self._tokens -= tokens

    def release(self) -> None:
        """The call has ended; what it bought is spent."""
        self._account.reserved -= self._tokens
        self._tokens = 0
        self._account.tell()

    def _covered(self, tokens: int) -> bool:
        account, more = self._account, tokens - self._tokens
        if more > 0 and account.budget is not None and account.spent + account.reserved + more > account.budget:
            return False
        account.reserved += more
        self._tokens = tokens
        return True

    def _refused(self, tokens: int) -> BudgetError:
        account = self._account
        return BudgetError(
            f"the call may cost {tokens} tokens and {max(0, (account.budget or 0) - account.spent)} of {account.budget} are "
            f"left to request {self._ask.request}; ask for fewer max_tokens, send a shorter prompt, or give the request a "
            "larger budget"
        )
