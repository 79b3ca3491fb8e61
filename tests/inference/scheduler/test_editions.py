"""A request that is taken up again pays from an account of its own, and asks with the call keys that it always had."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from inference.scheduler.book import Book
from inference.scheduler.errors import BadCallError
from inference.scheduler.wire import CHAT, read
from inference.testing import FakeServer
from tests.inference.scheduler.conftest import KEY, REQUEST, Running, body, pools_of, scheduler, server_of, until

AGAIN = f"{REQUEST}~1"
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


@pytest.mark.parametrize("key", [KEY, f"{REQUEST}~1/research/1.0#1.0", f"{REQUEST}~2/research/1.0#1.0"])
def test_an_edition_pays_for_calls_of_its_request_whichever_edition_began_them(key: str) -> None:
    asked = read(CHAT, json.dumps(body()).encode(), {"Torpor-Call": key, "Torpor-Request": f"{REQUEST}~2"}, 1024)
    assert (asked.key, asked.request) == (key, f"{REQUEST}~2")


@pytest.mark.parametrize("account", ["another~1", f"{REQUEST}~", f"{REQUEST}~x", f"{REQUEST}~1~1", f"{REQUEST}~99999"])
def test_nobody_else_pays(account: str) -> None:
    with pytest.raises(BadCallError, match="the header Torpor-Call"):
        read(CHAT, json.dumps(body()).encode(), {"Torpor-Call": KEY, "Torpor-Request": account}, 1024)


async def test_what_was_bought_before_is_known_and_costs_the_edition_nothing(server: FakeServer, one: Running) -> None:
    said = await one.text(body(), Torpor_Call=KEY)
    await one.http.delete(f"{one.url}/requests/{REQUEST}")
    await _open(one, AGAIN)
    assert await one.text(body(), Torpor_Call=KEY, Torpor_Request=AGAIN) == said
    await one.text(body("Why do bears?"), Torpor_Call=f"{REQUEST}/validate/1.0#1.0", Torpor_Request=AGAIN)
    before, now = await one.get(f"requests/{REQUEST}"), await one.get(f"requests/{AGAIN}")
    assert before["spent_tokens"] > 0 < now["spent_tokens"] and len(server.calls) == 2


async def test_a_known_answer_outlives_the_books_of_its_first_account(server: FakeServer, tmp_path: Path) -> None:
    async with scheduler(pools_of(server_of(server)), tmp_path) as first:
        said = await first.text(body(), Torpor_Call=KEY)
        await until(lambda: list((tmp_path / "store/calls").glob("*.json")))
    (tmp_path / "journal/journal.jsonl").unlink()
    async with scheduler(pools_of(server_of(server)), tmp_path) as second:
        await _open(second, AGAIN)
        assert await second.text(body(), Torpor_Call=KEY, Torpor_Request=AGAIN) == said
        assert (await second.get(f"requests/{AGAIN}"))["spent_tokens"] == 0
    assert len(server.calls) == 1


async def test_an_edition_joins_what_still_runs_for_the_one_before(server: FakeServer, one: Running) -> None:
    server.tokens_per_second = 100
    first = asyncio.create_task(one.text(body(), Torpor_Call=KEY))
    await until(lambda: server.calls and server.calls[0].tokens >= 3)
    await _open(one, AGAIN)
    assert await one.text(body(), Torpor_Call=KEY, Torpor_Request=AGAIN) == await first
    assert len(server.calls) == 1 and (await one.get(f"requests/{AGAIN}"))["spent_tokens"] == 0


def test_a_call_that_broke_off_is_paid_by_whoever_begins_it_again_and_outlives_the_closing_of_the_first_account() -> None:
    book = Book()
    begin = {"t": "begin", "k": KEY, "g": "d", "s": "model", "p": 10}
    for record in (
        {"t": "open", "r": REQUEST, "b": 100, "d": None},
        {**begin, "r": REQUEST},
        {"t": "delta", "k": KEY, "c": "Bats", "n": 1},
        {"t": "open", "r": AGAIN, "b": 100, "d": None},
        {**begin, "r": AGAIN},
        {"t": "close", "r": REQUEST},
        {"t": "delta", "k": KEY, "c": " sleep", "n": 1},
        {"t": "end", "k": KEY, "a": {"choices": []}, "p": 20, "c": 2},
    ):
        book.apply(record)
    assert list(book.requests) == [AGAIN] and book.requests[AGAIN].spent == 22
    assert (book.keys, book.calls[KEY].text) == (1, "Bats sleep")
    again = Book()
    for record in book.records():
        again.apply(record)
    assert again.calls[KEY].request == AGAIN


async def _open(one: Running, request: str) -> None:
    async with one.http.put(f"{one.url}/requests/{request}", json={"budget_tokens": 400, "deadline": SOON}) as answer:
        assert answer.status == 201
