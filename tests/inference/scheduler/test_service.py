"""OpenAI's API: what is passed through, what is refused, what whoever watches sees."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from inference.scheduler.assembly import Assembly
from inference.scheduler.book import KnownCall, KnownRequest
from inference.scheduler.errors import BadCallError
from inference.scheduler.watching import parsed, said_since
from inference.testing import FakeServer, Scripted
from tests.inference.scheduler.conftest import KEY, REQUEST, Running, body, pools_of, scheduler, server_of, until


async def test_models_are_listed_and_any_of_them_or_default_may_be_asked(one: Running) -> None:
    assert [model["id"] for model in (await one.get("v1/models"))["data"]] == ["fake-model"]
    for name in ("fake-model", "default"):
        assert await one.text(body(model=name))
    status, answer = await one.ask(body(model="gpt-9"))
    assert (status, answer["error"]["code"]) == (404, "model_not_found")
    assert "'gpt-9'; there are fake-model" in answer["error"]["message"]


async def test_a_stream_ends_with_its_usage_where_it_is_wanted(server: FakeServer, one: Running) -> None:
    server.script += [Scripted(text="some words")] * 2
    said = await one.streamed(body(stream_options={"include_usage": True}))
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in said if c["choices"]) == "some words"
    assert said[-1]["choices"] == [] and said[-1]["usage"]["completion_tokens"] == 4
    assert [c["choices"][0]["finish_reason"] for c in said if c["choices"]][-1] == "stop"
    assert all("usage" not in chunk for chunk in await one.streamed(body()))


async def test_what_it_does_not_know_is_passed_through(server: FakeServer, one: Running) -> None:
    seen: list[Any] = []
    decide = server.decide
    server.decide = lambda headers, sent: (seen.append(sent), decide(headers, sent))[1]  # type: ignore[method-assign]
    tools = [{"type": "function", "function": {"name": "look", "parameters": {}}}]
    await one.ask(body(tools=tools, tool_choice="auto", seed=7, logit_bias={"5": 1}))
    assert {name: seen[0][name] for name in ("tools", "tool_choice", "seed", "logit_bias")} == {
        "tools": tools, "tool_choice": "auto", "seed": 7, "logit_bias": {"5": 1},
    }  # fmt: skip


def test_calls_of_tools_are_put_together_from_their_pieces() -> None:
    assembly = Assembly("chat/completions")
    first = {"index": 0, "id": "c1", "type": "function", "function": {"name": "look", "arguments": ""}}
    pieces: list[dict[str, Any]] = [
        {"role": "assistant", "content": None},
        {"tool_calls": [first]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"at": '}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '"x"}'}}, {**first, "index": 1, "id": "c2"}]},
    ]
    for delta in pieces:
        assembly.add({"id": "i", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})
    assembly.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
    message = assembly.answer()["choices"][0]["message"]
    assert [call["function"]["arguments"] for call in message["tool_calls"]] == ['{"at": "x"}', ""]
    assert [call["id"] for call in message["tool_calls"]] == ["c1", "c2"] and message["content"] is None
    assert not assembly.plain and assembly.finished


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "must be a JSON object"),
        (b"{}", "`messages` must be a list"),
        (b'{"messages": []}', "at least one message"),
        (b'{"messages": ["hello"]}', "`messages` must be a list"),
        (b'{"messages": [{"role": "user", "content": 5}]}', "`messages[0]` needs a `role` and a `content`"),
        (b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": "many"}', "`max_tokens` must be a whole number"),
        (b'{"messages": [{"role": "user", "content": "a"}], "max_tokens": 0}', "at least 1, got '0'"),
        (b'{"messages": [{"role": "user", "content": "a"}], "n": -1}', "`n` must be"),
        (b'{"messages": [{"role": "user", "content": "a"}], "model": ["a"]}', "no pool serves"),
    ],
)
async def test_a_call_that_is_none_is_refused_with_its_mend(one: Running, sent: bytes, told: str) -> None:
    async with one.http.post(f"{one.url}/v1/chat/completions", data=sent) as answer:
        assert answer.status in (400, 404)
        assert told in (await answer.json())["error"]["message"]


@pytest.mark.parametrize(
    ("header", "value"),
    [("Torpor-Wait", "soon"), ("Torpor-Budget", "-5"), ("Torpor-Budget", "nan"), ("Torpor-Deadline", "2026-01-01T00:00:00")],
)
async def test_headers_that_say_nothing_are_refused(one: Running, header: str, value: str) -> None:
    async with one.http.post(f"{one.url}/v1/chat/completions", json=body(), headers={header: value}) as answer:
        assert answer.status == 400 and header in (await answer.json())["error"]["message"]


async def test_what_the_server_refuses_is_told_as_it_says_it(server: FakeServer, one: Running) -> None:
    status, answer = await one.ask(body("word " * 5000))
    assert (status, answer["error"]["code"]) == (400, "exceed_context_size_error")
    assert "exceeds the context of 4096; send a shorter prompt" in answer["error"]["message"]
    refused = json.dumps({"error": {"message": "Grammar error: Invalid type", "code": 400, "type": "BadRequestError"}})
    server.script += [Scripted(body=f"data: {refused}\n\ndata: [DONE]\n\n", content_type="text/event-stream")]
    status, answer = await one.ask(body(), Torpor_Call=KEY)
    assert status == 400 and "Grammar error: Invalid type" in answer["error"]["message"]
    assert (await one.get("state"))["servers"][0]["breaker"] == "closed"


async def test_paths_and_methods_that_are_none_are_answered_in_the_same_format(one: Running) -> None:
    assert "GET /v1/nothing: Not Found" in (await one.get("v1/nothing"))["error"]["message"]
    assert "Method Not Allowed" in (await one.get("v1/chat/completions"))["error"]["message"]


async def test_a_servers_key_is_sent_to_it_and_told_to_nobody(
    server: FakeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("A_KEY", "sk-very-secret")
    server.script += [Scripted(status=400, body=json.dumps({"error": {"message": "bad: sk-very-secret"}}))]
    server.script += [Scripted(status=401, body=json.dumps({"error": {"message": "no: sk-very-secret"}}))] * 4
    async with scheduler(pools_of(server_of(server, key_env="A_KEY")), tmp_path) as one:
        told = [str(await one.ask(body(f"prompt {n}"))) for n in range(2)]
        told += [str(await one.get(path)) for path in ("state", "metrics")]
    written = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert server.calls[0].authorized and "bad: ***" in told[0]
    assert "sk-very-secret" not in "".join(told) + caplog.text + written


async def test_what_a_requests_calls_say_can_be_watched_and_gone_on_with(server: FakeServer, tmp_path: Path) -> None:
    server.tokens_per_second = 60
    pools = pools_of(server_of(server))
    async with scheduler(pools, tmp_path) as one:
        asked = asyncio.create_task(one.text(body(), Torpor_Call=KEY))
        await until(lambda: server.calls and server.calls[0].tokens > 4)
        first = await one.get(f"requests/{REQUEST}/tokens?wait=5")
        said = first["calls"][0]["text"]
        second = await one.get(f"requests/{REQUEST}/tokens?wait=5&after={first['cursor']}")
        assert second["calls"][0]["at"] == len(said)
        whole = await asked
    async with scheduler(pools, tmp_path) as one:  # the cursor holds across a restart
        rest = await one.get(f"requests/{REQUEST}/tokens?after={first['cursor']}")
        assert said + rest["calls"][0]["text"] == whole and rest["calls"][0]["done"]
        again = await one.get(f"requests/{REQUEST}/tokens?after={rest['cursor']}")
        assert again == {"cursor": rest["cursor"], "calls": [], "open": True}
        assert await one.get("requests/unknown/tokens") == {"cursor": "", "calls": [], "open": False}


def test_an_answer_that_was_begun_anew_is_told_from_its_beginning() -> None:
    call = KnownCall("k", "r", "g", parts=["abcdef"])
    request = KnownRequest(calls={"k": call})
    cursor, _ = said_since(request, [])
    call.parts, call.restarts = ["xy"], 1
    cursor, news = said_since(request, parsed(cursor))
    assert (cursor, news[0]["at"], news[0]["text"]) == ("2r1", 0, "xy")
    assert said_since(request, parsed(cursor)) == ("2r1", [])


@pytest.mark.parametrize("cursor", ["x", "1..2", "1.", "-1", "9" * 30, "1;2"])
def test_a_cursor_that_is_none_is_refused(cursor: str) -> None:
    with pytest.raises(BadCallError, match="none of ours"):
        parsed(cursor)
