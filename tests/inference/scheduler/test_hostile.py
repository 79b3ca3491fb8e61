"""Callers that mean harm, or do not know better: whatever they send is answered, and costs nobody else anything."""

import asyncio
import json
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.answers import counted
from inference.scheduler.assembly import Assembly, as_chunk, says, sound, text_of
from inference.scheduler.config import Server
from inference.scheduler.errors import BadCallError
from inference.scheduler.prefix import going_on
from inference.scheduler.wire import CHAT, MOST_TOKENS, TEXT, read, sse
from tests.inference.conftest import await_health, free_port
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


_WORDS = """model messages prompt role content text tool_calls tools n max_tokens stream stream_options
choices delta message index finish_reason logprobs usage completion_tokens function"""
_NAMES = st.sampled_from(_WORDS.split())
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4) | _NAMES, inner, max_size=4),
    max_leaves=12,
)
_MESSAGE = st.fixed_dictionaries({"role": st.just("user") | _JSON, "content": _JSON}, optional={"tool_calls": _JSON})


@given(
    st.fixed_dictionaries(
        {"messages": st.lists(_MESSAGE, min_size=1, max_size=2) | _JSON},
        optional=dict.fromkeys(("model", "n", "max_tokens", "stream", "stream_options", "tools", "prompt"), _JSON),
    )
    | _JSON,
    st.sampled_from([CHAT, TEXT]),
)
@settings(deadline=None, max_examples=150)
def test_any_json_is_a_call_or_is_refused(sent: Any, path: str) -> None:
    try:
        ask = read(path, json.dumps(sent).encode(), {"Torpor-Call": KEY}, 1024)
    except BadCallError:
        return
    assert ask.bounded and 1 <= ask.max_tokens <= MOST_TOKENS and ask.prompt_tokens >= 0 and isinstance(ask.model, str)
    going_on(_VLLM, ask, "said", 1)


_CHOICE = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("index", "delta", "message", "text", "finish_reason", "logprobs"), _JSON)
)
_VLLM = Server.model_validate({"name": "s", "url": "http://s/v1", "kind": "vllm"})


@given(
    st.lists(
        st.fixed_dictionaries({"choices": st.lists(_CHOICE, max_size=3)}, optional={"usage": _JSON, "id": _JSON}), max_size=5
    ),
    st.sampled_from([CHAT, TEXT]),
)
@settings(deadline=None, max_examples=150)
def test_any_chunks_that_are_sound_make_an_answer(chunks: list[dict[str, Any]], path: str) -> None:
    assembly, said = Assembly(path), ""
    for chunk in chunks:
        if sound(chunk["choices"]):
            chunk = as_chunk(chunk)
            says(chunk)
            said += text_of(chunk)
            assembly.add(chunk)
    whole = assembly.answer()
    counted(assembly.usage, 10, assembly.text, 10)
    sse(as_chunk(whole))
    assert isinstance(assembly.text, str) and isinstance(assembly.plain, bool) and isinstance(assembly.finished, bool)
    assert all(isinstance(choice["finish_reason"], str | None) for choice in whole["choices"])


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nTorpor-Call: r/a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_what_is_no_http_is_answered_so(one: Running, sent: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(one.url.rpartition(":")[2]))
    writer.write(sent)
    assert (await reader.read()).startswith(b"HTTP/1.0 400")
    writer.close()


def test_what_is_no_http_leaves_no_traceback_in_the_log(tmp_path: Path) -> None:
    pools = {"pools": [{"name": "p", "models": ["m"], "servers": [{"name": "s", "url": "http://127.0.0.1:9/v1"}]}]}
    (tmp_path / "pools.yaml").write_text(json.dumps(pools))
    port, log = free_port(), tmp_path / "log"
    given = ["--config", str(tmp_path / "pools.yaml"), "--journal", str(tmp_path / "journal"), "--port", str(port)]
    with log.open("w") as told:
        process = subprocess.Popen([sys.executable, "-m", "inference.scheduler", *given], stderr=told)
    try:
        await_health(port, process)
        with socket.create_connection(("127.0.0.1", port)) as caller:
            caller.sendall(b"Authorization: sk-very-secret\r\n\r\n")
            assert caller.recv(100).startswith(b"HTTP/1.0 400")
    finally:
        process.terminate()
        assert process.wait(20) == 0
    said = log.read_text()
    assert "serves m" in said and "Traceback" not in said and "secret" not in said
