"""The small HTTP client, against a server whose every byte a test decides."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from eventing import posting
from eventing.posting import ExchangeError, Poster

ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\nok"
Answering = Callable[[bytes, asyncio.StreamWriter], Awaitable[None] | None]


class Server:
    def __init__(self, answer: Answering) -> None:
        self.answer, self.requests, self.connections, self.port = answer, [], 0, 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.requests.append((head, await reader.readexactly(length)))
                if (doing := self.answer(head, writer)) is not None:
                    await doing
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(answer: Answering):
    server = Server(answer)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.port = listening.sockets[0].getsockname()[1]
    yield server, Poster(f"http://127.0.0.1:{server.port}/torpor/")
    listening.close()


def says(*answers: bytes) -> Answering:
    left = list(answers)
    return lambda _, writer: writer.write(left.pop(0) if len(left) > 1 else left[0])


async def test_a_connection_is_kept_and_the_request_is_as_http_wants_it():
    async with serving(says(ACCEPTED)) as (server, poster):
        for _ in range(3):
            reply = await poster.post("summary-ready", {"ce-id": "1", "ce-bad": "a\r\nX: y"}, b"{}", 5)
            assert (reply.status, reply.body) == (202, b"ok")
        head, body = server.requests[0]
        assert head.startswith(b"POST /torpor/summary-ready HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\nX:" not in head and b"ce-bad: aX: y" in head and body == b"{}"
        assert server.connections == 1


async def test_posts_at_once_take_a_connection_each():
    async def slowly(_: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        writer.write(ACCEPTED)

    async with serving(slowly) as (server, poster):
        await asyncio.gather(*(poster.post("x", {}, b"", 5) for _ in range(4)))
        assert server.connections == 4


async def test_a_connection_that_was_closed_while_it_idled_is_made_anew():
    async def once(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(ACCEPTED)
        await asyncio.sleep(0.02)
        writer.close()

    async with serving(once) as (server, poster):
        for _ in range(2):
            assert (await poster.post("x", {}, b"", 5)).status == 202
            await asyncio.sleep(0.1)
        assert server.connections == 2


async def test_an_idle_connection_is_not_used_for_ever():
    async with serving(says(ACCEPTED)) as (server, _):
        poster = Poster(f"http://127.0.0.1:{server.port}/", kept_s=0.0)
        for _ in range(2):
            await poster.post("x", {}, b"", 5)
        assert server.connections == 2


@pytest.mark.parametrize(
    ("answer", "status", "body"),
    [
        (b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nnot\r\n4\r\n now\r\n0\r\n\r\n", 503, b"not now"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", 202, b""),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 500 Oh\r\nConnection: close\r\nContent-Length: 3\r\n\r\nwhy", 500, b"why"),
    ],
)
async def test_every_shape_of_an_answer_is_read(answer, status, body):
    async with serving(says(answer)) as (_, poster):
        for _ in range(2):
            reply = await poster.post("x", {}, b"", 5)
            assert (reply.status, reply.body) == (status, body)


async def test_headers_are_read_and_what_must_not_arrive_twice_is_not_sent_again():
    async def once(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"/break" not in head:
            writer.write(b"HTTP/1.1 500 Oh\r\nKne-Reason: a%20b\r\nContent-Length: 0\r\n\r\n")
        else:
            writer.close()

    async with serving(once) as (server, _):
        poster = Poster(f"http://127.0.0.1:{server.port}", resend=False)
        assert (await poster.post("x", {}, b"", 5)).headers["kne-reason"] == "a%20b"
        with pytest.raises(ExchangeError, match="closed the connection"):
            await poster.post("break", {}, b"", None)
        assert len(server.requests) == 2


async def test_a_long_answer_is_cut():
    async with serving(says(b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000)) as (_, poster):
        assert len((await poster.post("x", {}, b"", 5)).body) == posting.LARGEST_REPLY


@pytest.mark.parametrize("answer", [b"SMTP ready\r\n\r\n", b"HTTP/1.1 202 Accepted\r\nContent-Length: 9\r\n\r\nhalf"])
async def test_what_is_no_answer_is_told(answer):
    async def break_off(_: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with serving(break_off) as (_, poster):
        with pytest.raises(ExchangeError, match=r"answered no HTTP|closed the connection"):
            await poster.post("x", {}, b"", 5)


async def test_silence_ends_with_the_time_limit_and_costs_the_connection():
    async with serving(lambda *_: None) as (server, poster):
        with pytest.raises(ExchangeError, match=r"gave no answer within 0\.05 s"):
            await poster.post("x", {}, b"", 0.05)
        server.answer = says(ACCEPTED)
        assert (await poster.post("x", {}, b"", 5)).status == 202
        assert server.connections == 2


async def test_nobody_there_is_told():
    with pytest.raises(ExchangeError, match="cannot be reached"):
        await Poster("http://127.0.0.1:1/torpor").post("x", {}, b"", 1)
    with pytest.raises(ValueError, match="is no http"):
        Poster("broker:80")
