"""A request's budget holds across all its calls, whoever makes them."""

import asyncio
import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inference.scheduler.journal import Journal
from inference.scheduler.ledger import Ledger
from inference.scheduler.wire import Ask
from inference.testing import FakeServer, Scripted
from tests.inference.scheduler.conftest import REQUEST, Running, body, pools_of, scheduler, server_of

SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


async def _open(one: Running, request: str = REQUEST, budget: int | None = 400) -> int:
    terms = {"budget_tokens": budget, "deadline": SOON}
    async with one.http.put(f"{one.url}/requests/{request}", json=terms) as answer:
        return answer.status


async def test_fifty_calls_at_once_spend_no_more_than_there_is(server: FakeServer, one: Running) -> None:
    server.otherwise = Scripted(delay_s=0.05)
    assert await _open(one) == 201
    calls = (
        one.ask(body("hello", max_tokens=40), Torpor_Request=REQUEST, Torpor_Call=f"{REQUEST}/x#{n}") for n in range(50)
    )
    answers = await asyncio.gather(*calls)
    good = [answer for status, answer in answers if status == 200]
    refused = [answer["error"]["code"] for status, answer in answers if status != 200]
    account = await one.get(f"requests/{REQUEST}")
    assert set(refused) == {"budget_exceeded"} and len(good) == len(server.calls)
    assert account["spent_tokens"] == sum(answer["usage"]["total_tokens"] for answer in good) <= 400
    assert 400 - account["spent_tokens"] < 60  # what would have fitted was bought
    assert account["reserved_tokens"] == 0


async def test_a_call_waits_for_what_calls_beside_it_hold_back_and_may_not_spend(server: FakeServer, one: Running) -> None:
    server.otherwise = Scripted(text="yes", delay_s=0.1)
    await _open(one, budget=250)
    calls = (one.ask(body(max_tokens=150), Torpor_Request=REQUEST) for _ in range(3))
    assert [status for status, _ in await asyncio.gather(*calls)] == [200] * 3  # 1 token each in the end


async def test_the_refusal_says_what_is_left_and_what_to_do(one: Running) -> None:
    await _open(one, budget=50)
    status, answer = await one.ask(body(max_tokens=300), Torpor_Request=REQUEST)
    assert (status, answer["error"]["code"]) == (402, "budget_exceeded")
    assert "50 of 50 are left" in answer["error"]["message"] and "fewer max_tokens" in answer["error"]["message"]


async def test_an_unknown_request_is_opened_at_first_sight_by_what_its_event_said(one: Running) -> None:
    headers = {"Torpor_Request": REQUEST, "Torpor_Budget": "100", "Torpor_Deadline": SOON}
    assert (await one.ask(body(), **headers))[0] == 200
    assert (await one.ask(body(max_tokens=90), **headers))[0] == 402
    account = await one.get(f"requests/{REQUEST}")
    assert account["budget_tokens"] == 100 and account["deadline"] == SOON


async def test_what_the_gateway_opened_holds_against_what_an_event_says(one: Running) -> None:
    await _open(one, budget=60)
    assert (await one.ask(body(max_tokens=90), Torpor_Request=REQUEST, Torpor_Budget="100000"))[0] == 402


async def test_a_call_that_names_no_max_tokens_gets_a_bound_where_a_budget_counts(
    server: FakeServer, tmp_path: Path
) -> None:
    async with scheduler(pools_of(server_of(server), limits={"max_tokens": 33}), tmp_path) as one:
        sent = {name: value for name, value in body().items() if name != "max_tokens"}
        _, answer = await one.ask(sent, Torpor_Request=REQUEST)
        assert answer["usage"]["completion_tokens"] <= 33


async def test_spending_outlives_the_scheduler(server: FakeServer, tmp_path: Path) -> None:
    pools = pools_of(server_of(server))
    async with scheduler(pools, tmp_path) as first:
        await _open(first, budget=100)
        await first.ask(body(), Torpor_Request=REQUEST)
        spent = (await first.get(f"requests/{REQUEST}"))["spent_tokens"]
    async with scheduler(pools, tmp_path) as second:
        account = await second.get(f"requests/{REQUEST}")
        assert (account["spent_tokens"], account["budget_tokens"]) == (spent, 100) and spent > 20


async def test_beyond_the_backlog_requests_are_not_admitted_and_those_that_are_go_on(
    server: FakeServer, tmp_path: Path
) -> None:
    async with scheduler(pools_of(server_of(server), limits={"open_requests": 2}), tmp_path) as one:
        assert [await _open(one, f"r{n}") for n in range(2)] == [201, 201]
        async with one.http.put(f"{one.url}/requests/r2", json={"budget_tokens": 1, "deadline": SOON}) as answer:
            assert answer.status == 429 and int(answer.headers["Retry-After"]) > 0
            assert (await answer.json())["error"]["code"] == "backlog_full"
        assert await _open(one, "r1") == 201  # it is open already
        assert (await one.ask(body(), Torpor_Request="r3", Torpor_Budget="1000"))[0] == 200  # its event is under way
        for name in ("r0", "r1", "r3"):
            await one.http.delete(f"{one.url}/requests/{name}")
        assert await _open(one, "r2") == 201


@pytest.mark.parametrize(
    "terms",
    [
        "",
        "[]",
        "{}",
        '{"deadline": "soon"}',
        '{"deadline": "2026-01-01T00:00:00"}',
        '{"budget_tokens": -1, "deadline": "2026-01-01T00:00:00Z"}',
    ],
)
async def test_terms_that_are_none_are_refused(one: Running, terms: str) -> None:
    async with one.http.put(f"{one.url}/requests/r", data=terms) as answer:
        assert answer.status == 400 and "budget_tokens" in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    "usage",
    [None, {}, "many", {"prompt_tokens": -5, "completion_tokens": 1}, {"prompt_tokens": 10**9, "completion_tokens": 1}],
)
async def test_missing_or_impossible_usage_is_estimated_and_said(server: FakeServer, one: Running, usage: object) -> None:
    server.script.append(Scripted(text="some words in an answer", usage=usage))
    await _open(one)
    _, answer = await one.ask(body("hello there"), Torpor_Request=REQUEST)
    assert answer["torpor"]["estimated"] is True
    assert 5 <= answer["usage"]["completion_tokens"] <= 10 and 5 <= answer["usage"]["prompt_tokens"] <= 20
    assert (await one.get(f"requests/{REQUEST}"))["spent_tokens"] == answer["usage"]["total_tokens"]


async def test_tokens_have_the_servers_price(server: FakeServer, tmp_path: Path) -> None:
    price = {"input": 1.0, "output": 2.0, "currency": "EUR"}
    async with scheduler(pools_of(server_of(server, price=price)), tmp_path) as one:
        _, answer = await one.ask(body())
        usage = answer["usage"]
        cost = (usage["prompt_tokens"] + 2 * usage["completion_tokens"]) / 1e6
        assert (answer["torpor"]["cost"], answer["torpor"]["currency"]) == (pytest.approx(cost), "EUR")
        assert await one.metric('cost_total{currency="EUR",server="one"}') == pytest.approx(cost)


@pytest.mark.parametrize("keyed", [True, False])
async def test_what_breaks_again_and_again_spends_no_more_than_there_is(
    server: FakeServer, tmp_path: Path, keyed: bool
) -> None:
    server.otherwise = Scripted(text="one two three four five six seven eight", drop=True)
    pools = pools_of(server_of(server, kind="openai", slots=8), breaker={"failures": 1000})
    async with scheduler(pools, tmp_path) as one:
        await _open(one, budget=330)
        named = [{"Torpor_Call": f"{REQUEST}/x#{n}"} if keyed else {"Torpor_Request": REQUEST} for n in range(20)]
        calls = (one.ask(body("hello", max_tokens=30), **who) for who in named)
        codes = {answer["error"]["code"] for _, answer in await asyncio.gather(*calls)}
        account = await one.get(f"requests/{REQUEST}")
    really = sum(10 + call.tokens - 1 for call in server.calls)  # the last token was not sent any more
    assert codes <= {"budget_exceeded", "model_server_failed"} and "budget_exceeded" in codes
    assert account["reserved_tokens"] == 0
    assert really == account["spent_tokens"] <= 330


async def test_a_call_without_a_key_pays_for_what_was_bought_and_for_nothing_else(
    server: FakeServer, tmp_path: Path
) -> None:
    none = [Scripted(status=429, headers={"Retry-After": "0"}), Scripted(status=503), Scripted(status=401)]
    pools = pools_of(server_of(server, kind="openai"), breaker={"failures": 1000})
    async with scheduler(pools, tmp_path) as one:
        server.script += [*none, Scripted(status=400)]
        assert (await one.ask(body("hello"), Torpor_Request=REQUEST, Torpor_Budget="1000"))[0] == 400
        assert (await one.get(f"requests/{REQUEST}"))["spent_tokens"] == 0
        server.script += [*none, Scripted(status=500), Scripted(text="one two three", drop=True), Scripted(text="yes")]
        status, answer = await one.ask(body("hello"), Torpor_Request=REQUEST)
        account = await one.get(f"requests/{REQUEST}")
    assert status == 200 and account["spent_tokens"] == answer["torpor"]["bought_tokens"]


async def test_a_call_that_waited_while_its_request_was_closed_pays_into_the_same_budget(
    server: FakeServer, one: Running
) -> None:
    server.otherwise = Scripted(text="yes", delay_s=0.2)
    headers = {"Torpor_Request": REQUEST, "Torpor_Budget": "250", "Torpor_Deadline": SOON}
    calls = [asyncio.create_task(one.ask(body(max_tokens=150), **headers)) for _ in range(2)]
    await asyncio.sleep(0.1)
    async with one.http.delete(f"{one.url}/requests/{REQUEST}") as closed:
        assert closed.status == 204
    assert [status for status, _ in await asyncio.gather(*calls)] == [200, 200]
    account = await one.get(f"requests/{REQUEST}")
    assert account["budget_tokens"] == 250 and account["deadline"] == SOON


def test_an_account_that_is_closed_under_a_waiting_call_is_opened_again(tmp_path: Path) -> None:
    async def played() -> None:
        journal = Journal(tmp_path)
        ledger, soon = Ledger(journal, 10), datetime.now(UTC) + timedelta(hours=1)
        ask = Ask("chat/completions", {}, request="r", budget=100, deadline=soon, prompt_tokens=60)
        first = ledger.reserved(ask, soon, lambda: None)
        await first.__aenter__()

        async def second() -> int | None:
            async with ledger.reserved(ask, soon, lambda: None):
                return journal.book.requests["r"].budget

        waiting = asyncio.create_task(second())
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)
        ledger.end("r", soon)
        ledger.sweep(soon + timedelta(minutes=2))
        assert not journal.book.requests  # before the waiting call has had its turn
        assert await waiting == 100 and journal.book.requests["r"].reserved == 0
        journal.close()

    asyncio.run(played())


@pytest.mark.parametrize("keyed", [True, False])
async def test_what_cannot_be_written_down_is_not_bought(
    server: FakeServer, one: Running, keyed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _open(one)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("inference.scheduler.journal.os.write", full)
        named = {"Torpor_Call": f"{REQUEST}/x#1.0"} if keyed else {"Torpor_Request": REQUEST}
        status, answer = await one.ask(body(), **named)
        assert (status, answer["error"]["code"], server.calls) == (503, "journal_failed", [])
        assert (await one.ask(body()))[0] == 200  # it needs no account
    assert (await one.ask(body(), **named))[0] == 200


async def test_an_answer_whose_volume_fills_while_it_comes_waits_for_room_and_is_bought_once(
    server: FakeServer, one: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _open(one)
    write, refused, room = os.write, asyncio.Event(), asyncio.Event()

    def filling(file: int, line: bytes) -> int:
        if room.is_set() or (b'"t":"begin"' in line and not refused.is_set()):
            return write(file, line)
        refused.set()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("inference.scheduler.journal.os.write", filling)
    asking = asyncio.create_task(one.ask(body(), Torpor_Call=f"{REQUEST}/x#1.0"))
    await refused.wait()
    status, answer = await one.ask(body(), Torpor_Call=f"{REQUEST}/y#1.0")
    assert (status, answer["error"]["code"]) == (503, "journal_failed")
    assert not asking.done()
    room.set()
    assert (await asking)[0] == 200
    assert (await one.ask(body(), Torpor_Call=f"{REQUEST}/x#1.0"))[0] == 200
    assert len(server.calls) == 1


async def test_several_answers_are_not_gone_on_with_as_if_they_were_one(server: FakeServer, tmp_path: Path) -> None:
    server.script += [Scripted(text="one two three four", drop=True), Scripted(text="one two three four")]
    async with scheduler(pools_of(server_of(server)), tmp_path) as one:
        assert (await one.ask(body(n=2)))[0] == 200
    assert [call.prefix for call in server.calls] == ["", ""]
