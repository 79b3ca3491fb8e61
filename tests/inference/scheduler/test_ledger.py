"""A request's account under whatever its calls do: it is never overdrawn, and nobody waits for nothing."""

import asyncio
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from inference.scheduler.errors import BudgetError
from inference.scheduler.journal import Journal
from inference.scheduler.ledger import Hold, Ledger
from inference.scheduler.wire import CHAT, Ask

BUDGET = 100
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(1, 120)),
        st.tuples(st.just("leave"), st.integers(0, 20)),
        st.tuples(st.just("more"), st.integers(0, 20), st.integers(1, 60)),
        st.tuples(st.just("end"), st.integers(0, 20), st.integers(0, 100)),
        st.tuples(st.just("close")),
    ),
    max_size=40,
)


@given(_STEPS)
@settings(deadline=None, max_examples=100)
def test_an_account_is_never_overdrawn_and_nobody_waits_for_nothing(steps: list) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_played(Journal(Path(folder)), steps))


async def _played(journal: Journal, steps: list) -> None:
    ledger, soon = Ledger(journal, 10), datetime.now(UTC) + timedelta(hours=1)
    running: list[tuple[Hold, asyncio.Event, int]] = []
    tasks: list[asyncio.Task] = []

    async def call(tokens: int) -> None:
        ask = Ask(CHAT, {}, request="r", budget=BUDGET, deadline=soon, prompt_tokens=tokens)
        try:
            async with ledger.reserved(ask, soon, lambda: None) as hold:
                mine = (hold, asyncio.Event(), tokens)
                running.append(mine)
                try:
                    await mine[1].wait()
                finally:
                    running.remove(mine)
        except BudgetError:
            return

    for name, *rest in steps:
        if name == "come":
            tasks.append(asyncio.create_task(call(*rest)))
        elif name == "leave" and tasks:
            tasks[rest[0] % len(tasks)].cancel()
        elif name == "close":
            ledger.end("r", soon)
            ledger.sweep(soon + timedelta(minutes=2))
        elif running:
            hold, end, tokens = running[rest[0] % len(running)]
            if name == "end" and not end.is_set():
                journal.write({"t": "spent", "r": "r", "p": rest[1] * tokens // 100, "c": 0})
                end.set()
            elif name == "more" and not end.is_set():
                try:
                    hold.cover(tokens + rest[1])
                except BudgetError:
                    hold.cover(tokens)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        account = journal.book.requests.get("r")
        assert account is None or (account.reserved >= 0 and account.budget == BUDGET)
        assert account is None or account.spent <= BUDGET
    for _ in range(len(tasks) + 1):
        for _, end, _ in list(running):
            end.set()
        for _ in range(5):
            await asyncio.sleep(0)
    assert all(task.done() for task in tasks)
    account = journal.book.requests.get("r")
    assert account is None or account.reserved == 0
    journal.close()
