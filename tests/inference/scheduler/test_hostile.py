"""Callers that mean harm, or do not know better: whatever they send is answered, and costs nobody else anything."""

import json
from typing import Any

import pytest

from inference.scheduler.errors import BadCallError
from inference.scheduler.wire import CHAT, read
from tests.inference.scheduler.conftest import KEY, REQUEST, Running, body


def _read(sent: Any = None, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return read(CHAT, sent if isinstance(sent, bytes) else json.dumps(sent or body()).encode(), named, 1024)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"n": "many"}, "`n` must be a whole number"),
        ({"n": 2.5}, "`n` must be a whole number"),
        ({"n": True}, "`n` must be a whole number"),
        ({"n": 10**6}, "at most 128"),
        ({"max_tokens": 10**400}, "`max_tokens` must be"),
        ({"max_completion_tokens": -1}, "`max_completion_tokens` must be"),
        ({"temperature": float("nan")}, "no JSON"),
        ({"temperature": float("inf")}, "no JSON"),
    ],
)
def test_numbers_that_are_none_are_refused_beside_whatever_is_right(more: dict[str, Any], told: str) -> None:
    with pytest.raises(BadCallError, match=told):
        _read(body(**more))


@pytest.mark.parametrize("depth", [100, 300, 800, 1200, 50_000])
async def test_nesting_is_passed_on_or_refused_whatever_its_depth(one: Running, depth: int) -> None:
    sent = json.dumps(body())[:-1].encode() + b', "x": ' + b"[" * depth + b"]" * depth + b"}"
    async with one.http.post(f"{one.url}/v1/{CHAT}", data=sent) as answer:
        assert answer.status == (200 if depth == 100 else 400), await answer.text()


def test_null_is_as_good_as_absent() -> None:
    ask = _read({**body(), "n": None, "max_tokens": None}, Torpor_Call=KEY)
    assert (ask.max_tokens, ask.body["max_tokens"]) == (1024, 1024)  # what a budget is reserved for is a bound


def test_of_two_bounds_the_larger_is_what_a_call_may_cost() -> None:
    assert _read(body(max_tokens=4000, max_completion_tokens=1)).max_tokens == 4000


def test_a_keys_prompt_is_what_its_caller_sent_whatever_is_filled_in() -> None:
    sent = {name: value for name, value in body().items() if name != "max_tokens"}
    headers = {"Torpor-Call": KEY}
    one, two = (read(CHAT, json.dumps(sent).encode(), headers, default) for default in (100, 200))
    assert one.digest == two.digest and (one.max_tokens, two.max_tokens) == (100, 200)


def test_a_budget_of_nothing_is_not_an_unlimited_one() -> None:
    assert _read(Torpor_Request="r", Torpor_Budget="0").budget == 0
    assert _read(Torpor_Request="r").budget is None


@pytest.mark.parametrize(
    "headers",
    [
        {"Torpor-Call": "/step#1.0"},  # of no request
        {"Torpor-Call": "one/step#1.0", "Torpor-Request": "another"},
        {"Torpor-Call": "r/\udcff"},  # no UTF-8
        {"Torpor-Call": "r/\u202e\x7f"},
        {"Torpor-Call": "r/" + "x" * 7000},
        {"Torpor-Request": "\udcff"},
        {"Torpor-Tenant": "\udcff"},
        {"Torpor-Deadline": "0001-01-01T00:00:00+23:59"},  # before the first year
        {"Torpor-Deadline": "9999-12-31T23:59:59-23:59"},
    ],
)
def test_headers_that_could_be_held_against_the_books_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(BadCallError, match=f"the header {next(iter(headers))}"):
        read(CHAT, json.dumps(body()).encode(), headers, 1024)


def test_a_trace_that_is_none_is_left_out() -> None:
    sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    assert [_read(traceparent=given).traceparent for given in (sound, "\udcff", "x\u00e4")] == [sound, None, None]


def test_calls_of_one_request_are_one_tenants_whichever_header_names_it() -> None:
    assert _read(Torpor_Call=KEY).tenant == _read(Torpor_Request=REQUEST).tenant == REQUEST


@pytest.mark.parametrize("terms", [b"[" * 100_000, b'{"deadline": "0001-01-01T00:00:00+23:59"}', b"\xff"])
async def test_terms_that_are_none_leave_no_trace(one: Running, terms: bytes) -> None:
    async with one.http.put(f"{one.url}/requests/r", data=terms) as answer:
        assert answer.status == 400 and "budget_tokens" in (await answer.json())["error"]["message"]
    assert (await one.get("state"))["open_requests"] == 0


@pytest.mark.parametrize("headers", [{"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}])
async def test_a_body_that_is_not_packed_as_it_says_is_refused(one: Running, headers: dict[str, str]) -> None:
    async with one.http.post(f"{one.url}/v1/{CHAT}", data=b"\x00" * 500, headers=headers) as answer:
        assert answer.status == 400 and (await answer.json())["error"]["type"] == "invalid_request_error"


async def test_a_request_of_any_name_is_opened_told_of_and_closed(one: Running) -> None:
    for name in ("a%2Fb", "50%25", "%C3%A9t%C3%A9", "a%20b"):
        where = f"{one.url}/requests/{name}"
        async with one.http.put(where, json={"deadline": "2126-01-01T00:00:00Z", "budget_tokens": 5}) as answer:
            assert answer.status == 201, name
        async with one.http.get(where) as answer:
            assert (await answer.json())["budget_tokens"] == 5
        async with one.http.delete(where) as answer:
            assert answer.status == 204
    assert (await one.get("state"))["open_requests"] == 0
