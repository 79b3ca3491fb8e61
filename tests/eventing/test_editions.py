"""A request that has ended goes on as a new edition: what was done stays done, what ends it ends it once, one mail for each."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta

import pytest

from eventing import ids
from eventing.agent import StepKey
from eventing.editions import account, edition_of, rerun_of, within
from eventing.envelope import Event
from eventing.errors import PublishError
from eventing.state import fold
from eventing.testing import NOON, REQUEST
from functions.gateway import redriving
from functions.gateway.letters import Asked, page
from functions.tracker.tracking import TICK
from tests.eventing.whole import Whole


def event(**attributes: str) -> Event:
    return Event({"specversion": "1.0", "id": "1", "source": "/test", "type": "tested", **attributes})


def test_the_key_of_a_first_edition_is_what_it_always_was():
    key = StepKey(REQUEST, "research", 1)
    assert (key.path(), str(key)) == (f"requests/{REQUEST}/steps/research.1.0", f"{REQUEST}/research/1.0")
    anew = StepKey(REQUEST, "research", 1, edition=2)
    assert (anew.path(), str(anew)) == (f"requests/{REQUEST}/steps/research.1.0.e2", f"{REQUEST}~2/research/1.0")
    assert account(REQUEST, 0) == str(REQUEST) and account(REQUEST, 2) == f"{REQUEST}~2"


@pytest.mark.parametrize("value", ["", "-1", "x", "1e3", "99999", "\u0661"])
def test_what_is_no_edition_is_the_first(value):
    assert edition_of(event(edition=value)) == rerun_of(event(rerun=value)) == 0


def test_a_stored_answer_is_published_in_the_edition_that_asks_for_it():
    stored = event(deadline="then", budgettokens="3")
    asked = event(edition="1", deadline="later", budgettokens="60000")
    published = within(stored, asked)
    assert (edition_of(published), published.get("deadline"), published.get("budgettokens")) == (1, "later", "60000")
    assert within(published, event()).attributes.get("edition") is None
    assert within(stored, event(deadline="x")) is stored


async def failed(part: int = 2, depth: int = 2) -> Whole:
    """A request whose validator refused a part."""
    whole = Whole(depth)
    whole.failing = lambda agent, data: agent == "validator" and data.part == part
    await whole.ask()
    assert (await whole.state()).status == "failed"
    return whole


async def test_a_failed_request_goes_on_at_the_step_that_failed_and_nothing_is_done_twice():
    whole = await failed()
    before = dict(whole.runs)
    whole.failing = lambda *_: False
    told = await whole.redrive()
    assert (told.edition, told.opened, told.letters, told.parts) == (1, True, 1, [])
    assert [(s.event, s.agent, s.part) for s in told.sent if s.part == 2] == [("summary_ready", "validator", 2)]
    state = await whole.state()
    assert (state.status, state.edition, state.parts_done, state.reason) == ("complete", 1, 2, None)
    again = {what: n for what, n in whole.runs.items() if n > before.get(what, 0)}
    assert again == {"validator 2": 2, "aggregator -": 1, "formatter -": 1, "notifier -": 2}
    assert await whole.ends() == ["research_failed 0", "research_complete 1"]
    assert whole.letters() == [f"<{REQUEST}@torpor>", f"<{REQUEST}~1@torpor>"]


async def test_the_step_that_failed_asks_with_its_old_call_keys_and_pays_from_a_new_account():
    whole = await failed()
    whole.failing, seen = lambda *_: False, len(whole.accounts)
    await whole.redrive()
    paid = whole.accounts[seen:]
    assert (account(REQUEST, 1), f"{REQUEST}/validate/2.0") in paid
    assert all(who == account(REQUEST, 1) for who, _ in paid)


async def test_parts_that_were_given_up_on_when_the_request_failed_are_taken_up_again():
    whole = Whole(3)
    whole.failing = lambda agent, data: agent == "research_assistant" and data.part == 1
    await whole.ask()
    assert whole.runs["validator 3"] == 0, "the request had failed before its turn"
    whole.failing = lambda *_: False
    told = await whole.redrive()
    assert len(told.sent) == 3
    assert (await whole.state()).status == "complete"
    assert [whole.runs[f"research_assistant {n}"] for n in (1, 2, 3)] == [2, 1, 1]


async def test_a_request_that_fails_again_goes_on_again():
    whole = await failed()
    assert (await whole.redrive()).edition == 1
    assert (await whole.state()).status == "failed", "the cause was not mended"
    shown = (await page(whole.runtime, Asked(sent=True))).letters
    assert [(letter.edition, letter.redriven) for letter in shown] == [(0, "edition 1"), (1, "")]
    whole.failing = lambda *_: False
    assert (await whole.redrive()).edition == 2
    assert (await whole.state()).status == "complete"
    assert await whole.ends() == ["research_failed 0", "research_failed 1", "research_complete 2"]
    assert whole.letters() == [f"<{REQUEST}@torpor>", f"<{REQUEST}~1@torpor>", f"<{REQUEST}~2@torpor>"]


async def test_a_request_whose_deadline_passed_goes_on_with_a_deadline_of_its_own():
    whole = Whole()
    whole.adapters.pop("aggregator")
    await whole.ask()
    whole.later(minutes=31)
    await whole.tracker.take(Event({"specversion": "1.0", "id": "t", "source": "/ping", "type": TICK}))
    await whole.settle()
    assert "deadline" in (await whole.state()).reason
    told = await whole.redrive()
    assert {s.agent for s in told.sent} == {"aggregator"}
    state = await whole.state()
    assert state.status == "running" and told.deadline and told.deadline > NOON + timedelta(minutes=61)
    whole.later(minutes=29)
    assert await whole.tracker.expire() == 0
    whole.later(minutes=2)
    assert await whole.tracker.expire() == 1
    await whole.settle()
    assert await whole.ends() == ["research_failed 0", "research_failed 1"]


async def test_a_tick_at_the_first_deadline_does_not_end_a_later_edition():
    whole = await failed()
    whole.later(minutes=29)
    whole.adapters.pop("aggregator")
    whole.failing = lambda *_: False
    await whole.redrive()
    whole.later(minutes=2)
    assert await whole.tracker.expire() == 0
    assert (await whole.state()).status == "running"


async def test_abandoned_parts_are_done_anew_and_joined_with_those_that_were_sound():
    whole = Whole()
    whole.poor = {2}
    await whole.ask()
    state = await whole.state()
    assert (state.status, state.parts_abandoned, state.link) == ("complete", 1, f"http://localhost:8080/report/{REQUEST}")
    whole.poor, before, seen = set(), dict(whole.runs), len(whole.accounts)
    told = await whole.redrive()
    assert (told.edition, told.parts) == (1, [2])
    assert [(s.event, s.agent, s.part) for s in told.sent] == [
        ("validation_passed", "aggregator", 1),
        ("research_questions", "research_assistant", 2),
    ]
    state = await whole.state()
    assert (state.status, state.edition, state.parts_abandoned, state.parts_done) == ("complete", 1, 0, 2)
    assert state.link == f"http://localhost:8080/report/{REQUEST}?edition=1"
    again = {what: n - before[what] for what, n in whole.runs.items() if n > before[what]}
    assert again == {
        f"{name}": 1 for name in ("research_assistant 2", "validator 2", "aggregator -", "formatter -", "notifier -")
    }
    assert all(key.startswith(f"{REQUEST}~1/") for _, key in whole.accounts[seen:]), "what is done anew is bought anew"
    pages = await whole.runtime.store.keys(f"pages/{REQUEST}")
    assert len(pages) == 8, "the old report stays"
    assert len(whole.letters()) == 2


async def test_what_is_done_anew_and_fails_goes_on_where_it_failed():
    whole = Whole()
    whole.poor = {2}
    await whole.ask()
    whole.poor, whole.failing = set(), lambda agent, data: agent == "validator"
    await whole.redrive()
    assert (await whole.state()).status == "failed"
    whole.failing, before = lambda *_: False, dict(whole.runs)
    told = await whole.redrive()
    assert (told.edition, told.parts) == (2, [])
    state = await whole.state()
    assert (state.status, state.edition, state.parts_abandoned) == ("complete", 2, 0)
    assert whole.runs["research_assistant 2"] == before["research_assistant 2"]
    assert await whole.ends() == ["research_complete 0", "research_failed 1", "research_complete 2"]


async def test_a_part_can_be_done_anew_more_than_once():
    whole = Whole(3)
    whole.poor = {2, 3}
    await whole.ask()
    whole.poor = {3}
    assert (await whole.redrive()).parts == [2, 3]
    assert (await whole.state()).parts_abandoned == 1
    whole.poor = set()
    assert (await whole.redrive()).parts == [3]
    state = await whole.state()
    assert (state.status, state.edition, state.parts_abandoned, state.parts_done) == ("complete", 2, 0, 3)
    assert [whole.runs[f"validator {n}"] for n in (1, 2, 3)] == [1, 2, 3]


async def test_a_mail_that_could_not_be_sent_is_sent_within_its_edition():
    whole = Whole()
    whole.mails.down = True
    await whole.ask()
    assert (await whole.state()).status == "complete"
    whole.mails.down, before = False, dict(whole.runs)
    told = await whole.redrive()
    assert (told.edition, told.opened, [s.agent for s in told.sent]) == (0, False, ["notifier"])
    assert whole.letters() == [f"<{REQUEST}@torpor>"]
    assert {what for what, n in whole.runs.items() if n > before[what]} == {"notifier -"}
    with pytest.raises(redriving.NothingToRedriveError, match="is complete"):
        await whole.redrive()


async def test_a_running_request_has_nothing_to_be_sent_again():
    whole = Whole()
    whole.adapters.pop("aggregator")
    await whole.ask()
    with pytest.raises(redriving.NothingToRedriveError, match="is running and no dead letter of it waits"):
        await whole.redrive()


async def test_two_who_ask_at_once_open_one_edition():
    whole = await failed()
    whole.failing = lambda *_: False
    both = await asyncio.gather(*(redriving.redrive(REQUEST, whole.runtime, whole.desk) for _ in range(2)))
    assert [told.edition for told in both] == [1, 1]
    await whole.settle()
    assert await whole.ends() == ["research_failed 0", "research_complete 1"]
    assert len(whole.letters()) == 2 and whole.runs["validator 2"] == 2


async def test_an_edition_that_was_stored_and_not_sent_is_sent_by_whoever_asks_next():
    whole = await failed()
    whole.failing = lambda *_: False
    whole.broker.fail, whole.broker.error = 1, PublishError("no broker")
    with pytest.raises(PublishError):
        await whole.redrive()
    (letter,) = (await page(whole.runtime, Asked())).letters
    assert letter.redriven == "", "it still waits: whoever sends all of them on, sends it"
    told = await whole.redrive()
    assert told.edition == 1 and (await whole.state()).status == "complete"


async def test_a_late_copy_of_an_earlier_edition_changes_nothing():
    whole = await failed()
    letter = (await whole.runtime.dead_letters.every(REQUEST))[0]
    whole.failing = lambda *_: False
    await whole.redrive()
    before = dict(whole.runs)
    await whole.tracker.take(letter.event)
    await whole.adapters["validator"].take(letter.event)
    await whole.settle()
    assert dict(whole.runs) == before and (await whole.state()).status == "complete" and len(whole.letters()) == 2


async def test_a_step_of_the_first_edition_that_ends_late_still_serves_the_next():
    """The first edition's run wins the result; the next edition publishes that result as its own."""
    whole = await failed()
    whole.failing = lambda *_: False
    told = await redriving.redrive(REQUEST, whole.runtime, whole.desk)
    sent = [e for e in whole.broker.events if e.type == "summary_ready"]
    old = sent[0].having(edition=None, deadline=None)
    key = StepKey(REQUEST, "validate", 2)
    made: list[Event] = []
    answer = event(id="late", type="validation_passed", part="2", requestid=str(REQUEST))
    data = {**json.loads(old.data), "verdicts": []}
    answer = Event(answer.attributes, json.dumps(data).encode())

    async def run() -> list[Event]:
        made.append(answer)
        return [answer]

    assert await whole.runtime.steps.perform(key, ids.digest(old), run, old) == "done"
    whole.broker.events = [e for e in whole.broker.events if e.id != "late"]  # its copy is lost in an ended edition
    await whole.settle()
    assert told.edition == 1 and (await whole.state()).status == "complete" and whole.runs["validator 2"] == 1


async def test_the_state_of_editions_is_the_same_for_any_order_of_their_events():
    whole = Whole()
    whole.poor = {2}
    await whole.ask()
    whole.poor = set()
    await whole.redrive()
    events = await whole.runtime.journal.events(REQUEST)
    expected = await whole.state()
    for seed in range(30):
        random.Random(seed).shuffle(events)
        assert fold(REQUEST, list(events), whole.runtime.workflow) == expected
