"""POST and GET over HTTP/1.1 on the event loop, with connections kept open; loaded at once, as a waking agent needs it.

Redirects, proxies, cookies and compression are not for here. A connection carries one exchange at a time.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

KEPT_S = 30.0  # idle connections are used again for so long
LARGEST_REPLY = 64 * 1024
_FORBIDDEN = re.compile(r"[\r\n\0]")  # in a header's value


class ExchangeError(Exception):
    """There was no answer."""


class LateError(ExchangeError):
    """There was none in time."""


class UnreachedError(ExchangeError):
    """There was not even a connection: nothing was sent."""


@dataclass(frozen=True)
class Reply:
    """What was answered; of a body only the first bytes. Header names are lower-case."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class _Connection(asyncio.Protocol):
    def __init__(self, largest: int) -> None:
        self.since = 0.0
        self._largest = largest
        self._transport: asyncio.Transport | None = None
        self._waiting: asyncio.Future[Reply] | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._body = bytearray()
        self._headers: dict[str, str] = {}

    @property
    def usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing() and self._waiting is None

    async def exchange(self, request: bytes) -> Reply:
        """Send a request and wait for its answer; whoever stops waiting loses the connection."""
        assert self._transport is not None
        self._waiting = asyncio.get_running_loop().create_future()
        self._parser, self._body, self._headers = httptools.HttpResponseParser(self), bytearray(), {}
        self._transport.write(request)
        try:
            return await self._waiting
        except BaseException:
            self.close()
            raise
        finally:
            self._waiting, self.since = None, time.monotonic()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # it is one that reads and writes

    def data_received(self, data: bytes) -> None:
        if self._parser is None or self._waiting is None:
            self.close()  # nobody asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(f"answered no HTTP: {error}")

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(f"closed the connection{f': {error}' if error else ''}")

    def on_message_begin(self) -> None:
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body += body[: max(0, self._largest - len(self._body))]

    def on_message_complete(self) -> None:
        parser, waiting = self._parser, self._waiting
        if parser is None or waiting is None or waiting.done() or 100 <= parser.get_status_code() < 200:
            return
        if not parser.should_keep_alive():
            self.close()
        waiting.set_result(Reply(parser.get_status_code(), bytes(self._body), self._headers))

    def _fail(self, why: str) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(ExchangeError(why))
        self.close()


class Poster:
    """Requests to paths below one base URL.

    Args:
        url: the base URL.
        kept_s: how long an idle connection is used again; shorter than the server keeps it.
        resend: whether a request is sent again where a kept connection breaks, so that it may arrive twice.
        largest: bytes of an answer that are kept.
    """

    def __init__(self, url: str, *, kept_s: float = KEPT_S, resend: bool = True, largest: int = LARGEST_REPLY) -> None:
        self._kept_s, self._resend, self._largest = kept_s, resend, largest
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{url!r} is no http(s) URL")
        self._host, self._tls = parts.hostname, parts.scheme == "https"
        self._port = parts.port or (443 if self._tls else 80)
        self._path = parts.path.rstrip("/")
        self._head = f" HTTP/1.1\r\nHost: {parts.netloc.rpartition('@')[2]}\r\n"
        self._idle: list[_Connection] = []

    async def post(self, path: str, headers: Mapping[str, str], body: bytes, limit_s: float | None) -> Reply:
        """What is answered to one POST.

        Raises:
            LateError, UnreachedError, ExchangeError: when there is no answer.
        """
        if _FORBIDDEN.search("".join(headers.values())):
            headers = {name: _FORBIDDEN.sub("", value) for name, value in headers.items()}
        told = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
        head = f"POST {self._path}/{path}{self._head}{told}Content-Length: {len(body)}\r\n\r\n"
        return await self._answered(head.encode("latin-1", "replace") + body, limit_s)

    async def get(self, path: str, limit_s: float | None) -> Reply:
        """What is answered to one GET, over a connection of its own.

        Raises:
            LateError, UnreachedError, ExchangeError: when there is no answer.
        """
        return await self._answered(f"GET {self._path}/{path}{self._head}Connection: close\r\n\r\n".encode(), limit_s)

    async def _answered(self, request: bytes, limit_s: float | None) -> Reply:
        try:
            async with asyncio.timeout(limit_s):
                while (kept := self._kept()) is not None:
                    try:
                        return await self._over(kept, request)
                    except ExchangeError:
                        if not self._resend:
                            raise  # else it was closed while it idled
                return await self._over(await self._connected(), request)
        except TimeoutError:
            raise LateError(f"gave no answer within {limit_s:g} s") from None
        except OSError as error:
            raise UnreachedError(f"cannot be reached: {error.strerror or error}") from error

    async def _over(self, connection: _Connection, request: bytes) -> Reply:
        reply = await connection.exchange(request)
        if connection.usable:
            self._idle.append(connection)
        return reply

    def _kept(self) -> _Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.usable and time.monotonic() - connection.since < self._kept_s:
                return connection
            connection.close()
        return None

    async def _connected(self) -> _Connection:
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            lambda: _Connection(self._largest), self._host, self._port, ssl=self._tls or None
        )
        return connection
