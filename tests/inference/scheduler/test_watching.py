"""What a request's calls say can be watched: by several, from anywhere on, across restarts, until a while after its end."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from inference.accounts import is_cursor
from inference.client import Client
from inference.errors import BacklogError
from inference.scheduler.book import Book
from inference.scheduler.errors import BadCallError
from inference.scheduler.journal import Journal
from inference.scheduler.ledger import READABLE_S, Ledger
from inference.scheduler.watching import parsed, said_since
from inference.testing import FakeServer
from tests.inference.scheduler.conftest import KEY, REQUEST, Running, body, pools_of, scheduler, server_of, until

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def written(book: Book, *records: dict[str, Any]) -> None:
    for record in records:
        book.apply(record)


def begin(key: str) -> dict[str, Any]:
    return {"t": "begin", "k": key, "r": "r", "g": "d", "s": "one", "p": 5}


def said(key: str, text: str) -> dict[str, Any]:
    return {"t": "delta", "k": key, "c": text}


def end(key: str) -> dict[str, Any]:
    return {"t": "end", "k": key, "a": {}, "p": 1, "c": 1}


class Reader:
    """Follows a request by cursor and puts together what its calls say."""

    def __init__(self) -> None:
        self.cursor, self.texts, self.done, self.given = "", dict[str, str](), dict[str, bool](), 0

    def take(self, cursor: str, calls: list[dict[str, Any]]) -> None:
        for piece in calls:
            before = self.texts.get(piece["call"], "")
            assert piece["at"] in (len(before), 0)
            self.texts[piece["call"]] = before[: piece["at"]] + piece["text"]
            self.done[piece["call"]] = piece["done"]
            self.given += len(piece["text"])
        self.cursor = cursor
        assert is_cursor(cursor)


def test_whoever_stops_between_two_pieces_goes_on_there() -> None:
    book = Book()
    written(book, begin("a"), begin("b"), said("a", "one"), said("b", "two"))
    cursor, (first, second) = said_since(book.requests["r"], [])
    assert second["cursor"] == cursor
    again, (rest,) = said_since(book.requests["r"], parsed(first["cursor"]))
    assert (again, rest["call"], rest["text"]) == (cursor, "b", "two")
    assert said_since(book.requests["r"], parsed(cursor)) == (cursor, [])


def test_the_end_of_a_call_is_told_once_though_no_more_text_comes() -> None:
    book = Book()
    written(book, begin("a"), said("a", "one"))
    cursor, _ = said_since(book.requests["r"], [])
    written(book, end("a"))
    cursor, (piece,) = said_since(book.requests["r"], parsed(cursor))
    assert (piece["text"], piece["at"], piece["done"]) == ("", 3, True)
    assert said_since(book.requests["r"], parsed(cursor))[1] == []


@pytest.mark.parametrize("given_up", [[{"t": "anew", "k": "a"}], [{"t": "lost", "k": "a", "p": 0}, begin("a")]])
def test_what_was_given_up_is_void_for_whoever_saw_it(given_up: list[dict[str, Any]]) -> None:
    book, reader = Book(), Reader()
    written(book, begin("a"), said("a", "a long wrong beginning"))
    reader.take(*said_since(book.requests["r"], []))
    written(book, *given_up, said("a", "right"))
    reader.take(*said_since(book.requests["r"], parsed(reader.cursor)))
    assert reader.texts == {"a": "right"}


@pytest.mark.parametrize("cursor", ["x", "1..2", "1r", "d", "-1", "1.2.", "9" * 20])
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    assert not is_cursor(cursor)
    with pytest.raises(BadCallError, match="begin without one"):
        parsed(cursor)


async def test_a_watcher_that_comes_and_goes_gets_every_character_once_also_from_the_next_scheduler(
    server: FakeServer, tmp_path: Path
) -> None:
    server.tokens_per_second = 60
    pools, reader = pools_of(server_of(server)), Reader()
    async with scheduler(pools, tmp_path) as first:
        asked = asyncio.create_task(first.ask(body(max_tokens=40), Torpor_Call=KEY))
        while len(reader.texts.get(KEY, "")) < 30:
            found = await Client(f"{first.url}/v1").accounts.said(REQUEST, reader.cursor, 1.0)
            reader.take(found["cursor"], found["calls"])
        assert found["open"] and not reader.done[KEY]
    await asyncio.gather(asked, return_exceptions=True)
    async with scheduler(pools, tmp_path) as second:
        whole = await second.text(body(max_tokens=40), Torpor_Call=KEY)
        while not reader.done[KEY]:
            found = await Client(f"{second.url}/v1").accounts.said(REQUEST, reader.cursor, 1.0)
            reader.take(found["cursor"], found["calls"])
    assert reader.texts == {KEY: whole} and reader.given == len(whole)


async def test_what_a_request_said_can_be_read_for_a_while_after_its_end(one: Running) -> None:
    whole = await one.text(body(), Torpor_Call=KEY)
    accounts = Client(f"{one.url}/v1").accounts
    await accounts.close(REQUEST)
    await accounts.close(REQUEST)
    found = await accounts.said(REQUEST, "", 30.0)
    assert ([piece["text"] for piece in found["calls"]], found["open"]) == ([whole], False)
    assert (await one.get("state"))["open_requests"] == 0
    assert await accounts.said("of nobody", "3d") == {"cursor": "3d", "calls": [], "open": False}


def test_what_has_ended_is_forgotten_once_its_answers_are_kept_and_read(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    ledger, book = Ledger(journal, 1), journal.book
    ledger.open("r", 100, NOW + timedelta(minutes=30), admitted=True)
    for record in (begin("a"), said("a", "one"), end("a")):
        journal.write(record)
    ledger.end("r", NOW)
    journal.close()
    journal = Journal(tmp_path)
    ledger, book, later = Ledger(journal, 1), journal.book, NOW + timedelta(seconds=READABLE_S + 1)
    assert book.open == 0 and said_since(book.requests["r"], [])[1]
    ledger.open("next", 100, NOW + timedelta(minutes=30), admitted=True)
    ledger.sweep(later)
    assert "r" in book.requests  # its answer is in no archive yet
    book.calls["a"].archived = True
    ledger.sweep(NOW)
    assert "r" in book.requests
    ledger.sweep(later)
    assert list(book.requests) == ["next"] and not book.calls
    journal.close()


async def test_the_account_says_when_the_backlog_is_full_and_opens_nothing_twice(server: FakeServer, tmp_path: Path) -> None:
    async with scheduler(pools_of(server_of(server), limits={"open_requests": 1}), tmp_path) as one:
        accounts, soon = Client(f"{one.url}/v1").accounts, datetime.now(UTC) + timedelta(hours=1)
        for _ in range(2):
            await accounts.open("r", 400, soon)
        with pytest.raises(BacklogError, match="which is the limit") as full:
            await accounts.open("other", 400, soon)
        assert full.value.after and full.value.after > 0
        await accounts.close("r")
        await until(lambda: _opened(accounts, soon))


async def _opened(accounts: Any, soon: datetime) -> bool:
    await accounts.open("other", 400, soon)
    return True
