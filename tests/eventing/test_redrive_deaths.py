"""Whoever sends a request on may die before and after each of its effects: whoever sends it on next ends what was begun."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import TypeVar

import pytest

from eventing.envelope import Event
from eventing.errors import EventingError, StoreError
from eventing.testing import REQUEST
from functions.gateway import redriving
from functions.gateway.letters import Asked, page
from functions.gateway.redriving import NothingToRedriveError
from functions.tracker.tracking import TICK
from tests.eventing.whole import Whole

T = TypeVar("T")


class Died(BaseException):
    """The process was killed."""


class Deaths:
    """Effects take place until one is the last: the process dies before it, or after it."""

    def __init__(self) -> None:
        self.left: int | None = None
        self.after = False

    async def __call__(self, what: str, do: Callable[[], T], error: type[EventingError] = StoreError) -> T:
        if self.left is None:
            return do()
        self.left -= 1
        if self.left >= 0:
            return do()
        if self.left == -1 and self.after:
            do()
        raise Died(what)


async def failed(deaths: Deaths) -> Whole:
    whole = Whole(2, deaths)
    whole.failing = lambda agent, data: agent == "validator" and data.part == 2
    await whole.ask()
    whole.failing = lambda *_: False
    return whole


async def partial(deaths: Deaths) -> Whole:
    whole = Whole(2, deaths)
    whole.poor = {2}
    await whole.ask()
    whole.poor = set()
    return whole


async def unmailed(deaths: Deaths) -> Whole:
    whole = Whole(2, deaths)
    whole.mails.down = True
    await whole.ask()
    whole.mails.down = False
    return whole


async def killed(made: Callable[[Deaths], Awaitable[Whole]]) -> AsyncIterator[tuple[Whole, str]]:
    """A request whose sending on was cut off, once for each effect that it has, before it and after it."""
    for effects in count():
        for after in (False, True):
            deaths = Deaths()
            whole = await made(deaths)
            deaths.left, deaths.after = effects, after
            try:
                await redriving.redrive(REQUEST, whole.runtime, whole.desk)
            except Died as died:
                deaths.left = None
                yield whole, f"killed {'after' if after else 'before'} {died}"
            else:
                assert effects > 5
                return


async def sent_on(whole: Whole) -> None:
    """Sent on by somebody else; where the first had only its last mark to make, there is nothing left."""
    try:
        await redriving.redrive(REQUEST, whole.runtime, whole.desk)
    except NothingToRedriveError:
        assert whole.broker.events
    await whole.settle()


@pytest.mark.parametrize(
    ("made", "ends", "letters"),
    [
        (failed, ["research_failed 0", "research_complete 1"], [f"<{REQUEST}@torpor>", f"<{REQUEST}~1@torpor>"]),
        (partial, ["research_complete 0", "research_complete 1"], [f"<{REQUEST}@torpor>", f"<{REQUEST}~1@torpor>"]),
        (unmailed, ["research_complete 0"], [f"<{REQUEST}@torpor>"]),
    ],
)
async def test_a_death_while_sending_on_is_mended_by_sending_on(made, ends, letters):
    async for whole, how in killed(made):
        before = dict(whole.runs)
        await sent_on(whole)
        state = await whole.state()
        assert (state.status, state.parts_abandoned, await whole.ends()) == ("complete", 0, ends), how
        assert whole.letters() == letters, how
        assert not [what for what, runs in whole.runs.items() if runs - before.get(what, 0) > 1], how
        assert not (await page(whole.runtime, Asked())).letters, how


@pytest.mark.parametrize("made", [failed, partial])
async def test_what_was_begun_and_not_sent_before_its_deadline_is_begun_again(made):
    async for whole, how in killed(made):
        whole.broker.events.clear()  # whatever it sent is taken too late
        whole.later(minutes=31)
        await whole.tracker.take(Event({"specversion": "1.0", "id": "t", "source": "/ping", "type": TICK}))
        await whole.settle()
        told = await whole.redrive()
        assert told.deadline and told.deadline > whole.now, how
        state = await whole.state()
        assert (state.status, state.edition, state.parts_abandoned) == ("complete", told.edition, 0), how
        assert len(set(whole.letters())) == len(whole.letters()), how
        ends = await whole.ends()
        assert len({end.split()[1] for end in ends}) == len(ends), how
