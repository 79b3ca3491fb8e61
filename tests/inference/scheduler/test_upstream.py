"""Model servers that answer anything at all: what they say is an answer or a failure, never a fault of the scheduler."""

import asyncio
import contextlib
import gzip
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from inference.scheduler import upstream
from inference.testing import FakeServer, Scripted
from tests.inference.scheduler.conftest import KEY, REQUEST, Running, body, pools_of, scheduler, server_of, until

Say = Callable[[bytes], Awaitable[None]]
STREAM = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n"


@dataclass
class Raw:
    """A server that answers every request with bytes, and keeps what it was asked."""

    answer: Callable[[Say, bytes], Awaitable[None]] | bytes = b""
    keep: bool = False
    asked: list[bytes] = field(default_factory=list)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(data: bytes) -> None:
            writer.write(data)
            await writer.drain()

        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                size = next((int(line.split(b":")[1]) for line in head.split(b"\r\n") if b"ength:" in line), 0)
                sent = await reader.readexactly(size)
                if head.startswith(b"GET"):
                    await say(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                    continue
                self.asked.append(head + sent)
                await (say(self.answer) if isinstance(self.answer, bytes) else self.answer(say, head + sent))
                if not self.keep:
                    break
        writer.close()


@contextlib.asynccontextmanager
async def raw(answer: Any, host: str = "127.0.0.1", keep: bool = False) -> AsyncIterator[Raw]:
    made = Raw(answer, keep)
    server = await asyncio.start_server(made.serve, host, 0)
    port = server.sockets[0].getsockname()[1]
    made.url = f"http://{f'[{host}]' if ':' in host else host}:{port}/v1"
    try:
        yield made
    finally:
        server.close()


def event(said: Any, **more: Any) -> bytes:
    """One chunk of a chat completion: a delta, or a text."""
    delta = {"content": said} if isinstance(said, str) else said
    choice = {"index": 0, "delta": delta, "finish_reason": None, **more}
    return b"data: " + json.dumps({"id": "i", "object": "chat.completion.chunk", "choices": [choice]}).encode() + b"\n\n"


END, DONE = event({}, finish_reason="stop"), b"data: [DONE]\n\n"


def stream(*said: bytes, head: str = STREAM) -> bytes:
    return head.encode() + b"\r\n" + b"".join(said)


def entry(made: Raw, **more: Any) -> dict[str, Any]:
    return {"name": "raw", "url": made.url, "kind": "openai", "model": "fake-model", "slots": 4, **more}


async def asked(
    tmp_path: Path, answer: Any, sent: dict[str, Any] | None = None, **limits: Any
) -> tuple[int, dict[str, Any]]:
    """What a caller is told of such an answer, asked for once."""
    async with raw(answer) as made, one_of(made, tmp_path, **limits) as one:
        return await one.ask(sent or body(), Torpor_Call=KEY)


@contextlib.asynccontextmanager
async def one_of(made: Raw, tmp_path: Path, **limits: Any) -> AsyncIterator[Running]:
    pools = pools_of(entry(made), limits={"attempts": 1, "first_token_s": 5, **limits})
    async with scheduler(pools, tmp_path) as one:
        yield one


def content(answer: dict[str, Any]) -> str:
    return str(answer["choices"][0]["message"]["content"])


@pytest.mark.parametrize(
    "said",
    [
        stream(event("one "), event("two"), END, DONE),
        stream(event("one "), event("two"), END),  # without [DONE]
        stream(b": a comment\r\n\r\nevent: message\r\n", event("one two").replace(b"\n", b"\r\n"), END, DONE),
        stream(b"data:\n\n", event("one two").replace(b"data: ", b"data:"), END, b"data:[DONE]\n\n"),
        stream(event("one two"), END, DONE, head="HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n"),
        stream(event("one two", logprobs={"content": None}), END, DONE),
        stream(event({"content": [{"type": "text", "text": "one two"}]}), END, DONE),
        stream(event("one two", finish_reason="stop", logprobs={"content": [{"logprob": float("-inf")}]}), DONE),
        stream(event({"role": "assistant", "content": "one two", "refusal": None, "tool_calls": []}), END, DONE),
    ],
)
async def test_streams_are_read_however_they_are_written(tmp_path: Path, said: bytes) -> None:
    status, answer = await asked(tmp_path, said)
    assert status == 200, answer
    found = answer["choices"][0]["message"]["content"]
    assert (found if isinstance(found, str) else found[0]["text"]) == "one two"
    assert "text" not in answer["choices"][0]["message"]


async def test_letters_that_are_split_between_two_reads_are_whole(tmp_path: Path) -> None:
    async def letter_by_letter(say: Say, _: bytes) -> None:
        line = event("x").replace(b'"x"', '"Grüße 🐿"'.encode())
        await say(stream())
        for start in range(0, len(line), 3):
            await say(line[start : start + 3])
            await asyncio.sleep(0.001)
        await say(END + DONE)

    status, answer = await asked(tmp_path, letter_by_letter)
    assert (status, content(answer)) == (200, "Grüße 🐿")


async def test_a_packed_stream_is_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(event("one two") + END + DONE)
    status, answer = await asked(tmp_path, stream(packed, head=STREAM + "Content-Encoding: gzip\r\n"))
    assert (status, content(answer)) == (200, "one two")


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
async def test_a_server_may_live_at_an_address_of_version_six(tmp_path: Path) -> None:
    try:
        async with raw(stream(event("six"), END, DONE), "::1") as made, one_of(made, tmp_path) as one:
            assert await one.text(body()) == "six"
    except OSError:
        pytest.skip("no IPv6 here")


DEEP = '{"choices": [{"index": 0, "delta": {"content": "a", "x": ' + "[" * 600 + "]" * 600 + "}}]}"


@pytest.mark.parametrize(
    "said",
    [
        stream(DONE),
        stream(),
        stream(event("no end"), DONE),
        stream(event("x", index=-1), END, DONE),
        stream(event("x", index=10**9), END, DONE),
        stream(event("x", index=True), END, DONE),
        stream(event({"content": 5}), END, DONE),
        stream(event({"tool_calls": {"index": 0}}), END, DONE),
        stream(event({"tool_calls": [5]}), event({"tool_calls": [{"index": 0}]}), END, DONE),
        stream(event("x", logprobs=5), END, DONE),
        stream(event("x", finish_reason={"a": 1}), DONE),
        stream(b"data: " + DEEP.encode() + b"\n\n", END, DONE),
        stream(b'data: {"choices": [], "id": ' + b"[" * 800 + b"]" * 800 + b"}\n\n", event("x"), END, DONE),
        stream(b"data: " + b"[" * 50_000 + b"\n\n"),
        stream(b'data: {"choices": [], "usage": ' + b"9" * 5000 + b"}\n\n"),
        stream(b"data: \xff\xfe\n\n"),
        stream(b"data: {}", head=STREAM + "Content-Encoding: gzip\r\n"),
        stream(b"<html>", head="HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=base64\r\nContent-Length: 6\r\n"),
        stream(b"<html>", head="HTTP/1.1 500 No\r\nContent-Type: text/html; charset=undefined\r\nContent-Length: 6\r\n"),
        stream(
            b'{"choices": [{"message": {"content": "x"}}]}', head="HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
        ),
        b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"",
    ],
)
async def test_what_is_no_answer_is_the_servers_failure_and_not_the_schedulers(
    tmp_path: Path, said: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with raw(said) as made, one_of(made, tmp_path) as one:
        status, answer = await one.ask(body(), Torpor_Call=KEY)
        failed = [line for line in (await one.get("metrics")).splitlines() if "server_failures_total{" in line]
    assert (status, answer["error"]["code"]) == (502, "model_server_failed"), answer
    assert "Traceback" not in caplog.text and failed


async def test_a_server_that_only_seems_to_live_is_given_up(tmp_path: Path) -> None:
    async def murmur(say: Say, _: bytes) -> None:
        await say(stream(event("a word")))
        while True:
            await say(b": still here\n\n" + event({}) + event({"role": "assistant"}))
            await asyncio.sleep(0.01)

    status, answer = await asked(tmp_path, murmur, silence_s=0.2)
    assert status == 502 and "was silent for 0.2 s" in answer["error"]["message"]


async def test_a_server_that_does_not_heed_max_tokens_is_cut_and_the_budget_holds(tmp_path: Path) -> None:
    async def on_and_on(say: Say, _: bytes) -> None:
        await say(stream())
        while True:
            await say(event("word ") * 50)

    async with raw(on_and_on) as made, one_of(made, tmp_path) as one:
        status, answer = await one.ask(body(max_tokens=5), Torpor_Call=KEY)
        spent = (await one.get(f"requests/{REQUEST}"))["spent_tokens"]
    assert status == 200 and answer["choices"][0]["finish_reason"] == "length"
    assert answer["torpor"]["estimated"] and spent == answer["torpor"]["bought_tokens"] < 400


@pytest.mark.parametrize("told", [-5, 0, 10**6 - 1, 10**30, True, "many"])
async def test_impossible_counts_on_the_way_are_not_held_against_the_budget(tmp_path: Path, told: object) -> None:
    async def broken(say: Say, _: bytes) -> None:
        chunk = {"choices": [{"index": 0, "delta": {"content": "word"}}], "usage": {"completion_tokens": told}}
        await say(stream(b"data: " + json.dumps(chunk).encode() + b"\n\n"))

    async with raw(broken) as made, one_of(made, tmp_path) as one:
        assert (await one.ask(body(), Torpor_Call=KEY))[0] == 502
        account = await one.get(f"requests/{REQUEST}")
    assert 0 < account["spent_tokens"] < 40


async def test_a_line_and_a_body_without_end_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "_LONGEST_LINE", 100_000)
    sent = 0

    async def endless(say: Say, asked: bytes) -> None:
        nonlocal sent
        await say(stream(b"data: ") if b"first" in asked else b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n")
        while True:
            await say(b"x" * 50_000)
            sent += 50_000

    async with raw(endless) as made, one_of(made, tmp_path) as one:
        for prompt in ("first", "second"):
            status, answer = await one.ask(body(prompt))
            assert status == 502 and len(answer["error"]["message"]) < 1000
    assert sent < 40_000_000


@pytest.mark.parametrize(
    "said",
    [
        b'data: {"error": {"message": "no: sk-very/secret", "code": 400, "type": "sk-very/secret"}}\n\n',
        b'data: {"error": {"message": "no: sk-very\\/secret", "code": 500}}\n\n',
        b"data: sk-very/secret is no JSON\n\n",
        b'data: {"choices": "sk-very/secret"}\n\n',
        b'data: {"error": {"message": "' + b"x" * 295 + b' sk-very/secret", "code": 400}}\n\n',
    ],
)
async def test_a_key_that_a_server_repeats_in_mid_stream_is_told_to_nobody(
    tmp_path: Path, said: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("A_KEY", "sk-very/secret\n")  # a file's last line end came along
    async with raw(stream(said)) as made:
        pools = pools_of(entry(made, key_env="A_KEY"), limits={"attempts": 1})
        async with scheduler(pools, tmp_path) as one:
            told = str(await one.ask(body())) + await one.get("metrics") + str(await one.get("state"))
    assert b"Bearer sk-very/secret\r\n" in made.asked[0]
    assert "sk-very" not in told + caplog.text


async def test_what_a_model_says_is_not_masked_as_if_it_were_a_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_KEY", "EMPTY")
    whole = json.dumps({"choices": [{"message": {"content": "EMPTY is a word"}, "finish_reason": "stop"}]}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(whole)}\r\n"
    async with raw(stream(whole, head=head)) as made, scheduler(pools_of(entry(made, key_env="A_KEY")), tmp_path) as one:
        assert await one.text(body()) == "EMPTY is a word"


async def test_whatever_a_server_calls_its_error_the_figures_stay_readable_and_few(tmp_path: Path) -> None:
    number = 0

    async def refusing(say: Say, _: bytes) -> None:
        nonlocal number
        number += 1
        told = json.dumps({"error": {"message": "no", "code": f"\ud800 {number}x"}}).encode()
        await say(stream(told, head=f"HTTP/1.1 400 No\r\nContent-Length: {len(told)}\r\n"))

    async with raw(refusing) as made, one_of(made, tmp_path) as one:
        for prompt in range(5):
            assert (await one.ask(body(f"prompt {prompt}")))[0] == 400
        figures = await one.get("metrics")
        assert await one.metric('calls_total{model="fake-model",outcome="refused"}') == 5
    assert figures.count("calls_total{") == 1


async def test_a_server_that_takes_nothing_is_not_asked_without_a_pause(server: FakeServer, tmp_path: Path) -> None:
    server.otherwise = Scripted(status=429, headers={"Retry-After": "0"})
    async with scheduler(pools_of(server_of(server)), tmp_path) as one:
        assert (await one.ask(body(), Torpor_Wait="0.5"))[0] == 503
    assert len(server.calls) <= 6


def test_when_a_server_wants_to_be_asked_again_may_be_a_date() -> None:
    assert upstream._pause("7", 1) == 7 and upstream._pause("0", 1) == upstream.SHORTEST_PAUSE_S
    assert upstream._pause("Wed, 21 Oct 2099 07:28:00 GMT", 1) == upstream._pause("9" * 400, 1) == upstream.LONGEST_PAUSE_S
    assert upstream._pause("Wed, 21 Oct 2015 07:28:00 GMT", 1) == upstream.SHORTEST_PAUSE_S
    assert upstream._pause("soon", 1) == upstream._pause("", 1) == upstream._pause("Wed, 99 Oct 2015", 1) == 1


async def test_a_connection_that_was_kept_from_before_a_restart_costs_nothing(tmp_path: Path) -> None:
    answer = stream(
        event("yes") + END + DONE, head=STREAM.replace("Connection: close\r\n", "Transfer-Encoding: chunked\r\n")
    )
    head, _, said = answer.partition(b"\r\n\r\n")
    chunked = head + b"\r\n\r\n" + f"{len(said):x}\r\n".encode() + said + b"\r\n0\r\n\r\n"
    async with raw(chunked, keep=True) as made, one_of(made, tmp_path, attempts=4) as one:
        for round_ in range(4):
            assert await asyncio.gather(*(one.text(body(f"{round_} {n}")) for n in range(4))) == ["yes"] * 4
            made.keep = round_ % 2 == 0  # it closes what it was asked on
        assert (await one.get("state"))["servers"][0]["breaker"] == "closed"


async def test_a_metrics_page_that_is_none_ends_no_watching(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.scheduler.servers.LOOK_EVERY_S", 0.01)
    pages = [
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=undefined\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 302 Found\r\nLocation: /metrics\r\nContent-Length: 0\r\n\r\n",
        *(
            f"HTTP/1.1 200 OK\r\nContent-Length: {len(page)}\r\n\r\n{page}".encode()
            for page in (f"vllm:num_requests_waiting {value}\n" for value in ("1e999", "1.2.3", "-5", "--"))
        ),
        b"garbage\r\n\r\n",
    ]
    looked = 0

    async def shown(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal looked
        await reader.readuntil(b"\r\n\r\n")
        writer.write(pages[looked % len(pages)])
        looked += 1
        writer.close()

    server = await asyncio.start_server(shown, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    pools = pools_of({"name": "shown", "url": url, "kind": "vllm"})
    async with scheduler(pools, tmp_path):
        await until(lambda: looked > 2 * len(pages))
    server.close()
