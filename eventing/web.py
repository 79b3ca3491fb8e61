"""Fetching from the web for agents: public addresses only, within limits, and no faster than hosts wish.

A name is resolved once, each of its addresses is checked, and the connection goes to a checked address: a name that
resolves otherwise a moment later changes nothing. Redirects are followed by the same rules. Private may be only what
whoever runs the platform set: an API at a `trusted` origin, asked there and not by a redirect or a link, and pages of
`inner` origins. No request and no page can add to them.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urljoin, urlsplit

from eventing.addresses import public, resolved
from eventing.errors import EventingError

if TYPE_CHECKING:
    from protego import Protego

LARGEST = 8_000_000  # bytes of an answer, unpacked
SECONDS = 20.0  # that one answer may take in all
CONNECT_S = 5.0
REDIRECTS = 5
APART_S = 1.0  # between two requests to a host
LONGEST_REST_S = 300.0  # that a host's Retry-After is heeded
MOST_ROBOTS = 500_000  # bytes of a robots.txt that are read
ROBOTS_S = 86_400.0  # that it holds, at most a day by RFC 9309
_PORTS = {"http": 80, "https": 443}
_MOVED = (301, 302, 303, 307, 308)
_WRITTEN = "%/?:@!$&'()*+,;=~#[]"  # what stands in a URL as it is


class FetchError(EventingError):
    """Something could not be fetched; the message says why, for whoever reads the report."""

    def __init__(self, why: str, answered: int = 0) -> None:
        super().__init__(why)
        self.answered = answered  # the HTTP status, where there was one


@dataclass(frozen=True)
class Answer:
    """What a URL answered with, after redirects."""

    url: str
    data: bytes
    media_type: str


@dataclass(frozen=True)
class _Raw:
    status: int
    headers: Any
    data: bytes


@dataclass
class Web:
    """A polite client: one request at a time to a host, `apart_s` between them; `contact` says whom to write to."""

    contact: str
    trusted: frozenset[str] = frozenset()  # origins of APIs, such as http://searxng:8080
    inner: frozenset[str] = frozenset()  # origins of pages
    apart_s: float = APART_S
    seconds: float = SECONDS
    largest: int = LARGEST
    resolve: Callable[[str, int], list[str]] = field(default=lambda host, port: resolved(host, port))
    _turns: dict[str, asyncio.Lock] = field(default_factory=dict, init=False)
    _next: dict[str, float] = field(default_factory=dict, init=False)
    _resting: dict[str, float] = field(default_factory=dict, init=False)
    _robots: dict[str, tuple[float, Protego]] = field(default_factory=dict, init=False)

    @property
    def agent(self) -> str:
        return f"torpor/0.1 (research assistant; +{self.contact})"

    async def get(self, url: str, *, apart_s: float = 0.0) -> Answer:
        """What an API answers; its terms stand in its documentation, not in robots.txt.

        Raises:
            FetchError: saying why there is no answer.
        """
        return await self._followed(url, apart_s, self.trusted & {origin(url)}, robots=False)

    async def page(self, url: str) -> Answer:
        """What a page holds, where its host's robots.txt lets it be read.

        Raises:
            FetchError: saying why it was not read.
        """
        return await self._followed(url, 0.0, self.inner, robots=True)

    async def _followed(self, url: str, apart_s: float, private: frozenset[str], *, robots: bool) -> Answer:
        seen = {url}
        for _ in range(REDIRECTS + 1):
            if robots and not await self._permitted(url):
                raise FetchError("its robots.txt asks programs not to read it")
            raw = await self._in_turn(url, apart_s, private)
            if raw.status not in _MOVED:
                return Answer(url, raw.data, _media_type(raw))
            onward = _onward(url, raw)
            if onward in seen:
                raise FetchError("it redirects in a circle")
            if url.startswith("https:") and not onward.startswith("https:"):
                raise FetchError("it redirects from https to something less safe")
            seen.add(onward)
            url = onward
        raise FetchError(f"it redirects more than {REDIRECTS} times")

    async def _in_turn(self, url: str, apart_s: float, private: frozenset[str], largest: int | None = None) -> _Raw:
        """The answer to one request, made when it is its host's turn."""
        origin, host, port = _parts(url)
        if not self.contact:
            raise FetchError("not asked: no contact is set (TORPOR_SETTING_WEB_CONTACT), and hosts want to know one")
        async with self._turns.setdefault(origin, asyncio.Lock()):
            self._awake(origin)
            await asyncio.sleep(max(0.0, self._next.get(origin, 0.0) - time.monotonic()))
            try:
                raw = await asyncio.to_thread(self._asked, url, origin in private, host, port, largest or self.largest)
            finally:
                self._next[origin] = time.monotonic() + max(apart_s, self.apart_s)
            if raw.status in (429, 503):
                self._resting[origin] = time.monotonic() + _rest(raw)
            if raw.status >= 400:
                raise FetchError(_refusal(raw.status), raw.status)
            return raw

    def _awake(self, origin: str) -> None:
        left = self._resting.get(origin, 0.0) - time.monotonic()
        if left > 0:
            raise FetchError(f"not asked: it wants to be left alone for another {left:.0f} s")

    async def _permitted(self, url: str) -> bool:
        """Whether robots.txt permits it (RFC 9309: none at all permits, one that cannot be had forbids)."""
        from protego import Protego

        origin = _parts(url)[0]
        async with self._turns.setdefault(f"{origin}/robots.txt", asyncio.Lock()):  # pages asked at once ask for it once
            until, rules = self._robots.get(origin, (0.0, None))
            if rules is None or until < time.monotonic():
                rules = Protego.parse(await self._rules(origin))
                self._robots[origin] = (time.monotonic() + ROBOTS_S, rules)
        return rules.can_fetch(url, "torpor")

    async def _rules(self, origin: str) -> str:
        try:
            raw = await self._in_turn(f"{origin}/robots.txt", 0.0, self.inner, MOST_ROBOTS)
            moved = raw.status in _MOVED
            told = raw if not moved else await self._followed(_onward(origin, raw), 0.0, self.inner, robots=False)
            return told.data.decode("utf-8-sig", "replace")
        except FetchError as error:
            if not 400 <= error.answered < 500 or error.answered == 429:
                raise FetchError(f"its robots.txt cannot be had: {error}") from error
            return ""

    def _asked(self, url: str, private: bool, host: str, port: int, largest: int) -> _Raw:
        """One request to a checked address; whatever goes wrong is said in words."""
        from http.client import HTTPException

        from urllib3.exceptions import HTTPError

        try:
            address = self._checked(private, host, port)[0]
            return self._exchanged(url, address, host, port, largest)
        except (HTTPError, HTTPException, OSError, ValueError, AttributeError) as error:
            raise FetchError(f"it cannot be reached ({type(error).__name__})") from error

    def _checked(self, private: bool, host: str, port: int) -> list[str]:
        try:
            found = self.resolve(host, port)
        except OSError as error:
            raise FetchError(f"the name {host} is not known") from error
        if not found or not (private or all(map(public, found))):
            raise FetchError(f"{host} is not on the public internet; such addresses are not asked")
        return found

    def _exchanged(self, url: str, address: str, host: str, port: int, largest: int) -> _Raw:
        import ssl

        from urllib3.connection import HTTPConnection, HTTPSConnection

        parts = urlsplit(url)
        connection = (
            HTTPSConnection(
                address, port, timeout=CONNECT_S, ssl_context=ssl.create_default_context(),
                server_hostname=host, assert_hostname=host,
            )
            if parts.scheme == "https"
            else HTTPConnection(address, port, timeout=CONNECT_S)
        )  # fmt: skip
        over = threading.Event()

        def cut() -> None:
            over.set()
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)

        watch = threading.Timer(self.seconds, cut)
        watch.daemon = True
        watch.start()
        at = f"[{host}]" if ":" in host else host
        headers = {"Host": f"{at}:{parts.port}" if parts.port else at, "User-Agent": self.agent, "Accept-Encoding": "gzip"}
        try:
            connection.connect()
            connection.sock.settimeout(self.seconds)
            path = quote(f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}", _WRITTEN)
            connection.request("GET", path, headers=headers, preload_content=False)
            response = connection.getresponse()
            data = b""
            while chunk := response.read1(65_536):
                data += chunk
                if len(data) > largest:
                    raise FetchError(f"more than {largest / 1e6:.1f} MB; so much is not read")
            if over.is_set():
                raise FetchError(f"it took longer than {self.seconds:g} s")
            return _Raw(response.status, response.headers, data)
        except FetchError:
            raise
        except Exception as error:
            if over.is_set():
                raise FetchError(f"it took longer than {self.seconds:g} s") from error
            raise
        finally:
            watch.cancel()
            connection.close()


def _parts(url: str) -> tuple[str, str, int]:
    """Origin, host and port of a URL.

    Raises:
        FetchError: it is none that is fetched.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0)
        host = host if host.isascii() else host.encode("idna").decode()
    except ValueError:
        raise FetchError("no URL") from None
    if parts.scheme not in _PORTS or not host or parts.username is not None or any(c.isspace() for c in url):
        raise FetchError("no http or https URL without a password in it")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}:{port}", host, port


def origin(url: str) -> str:
    """A URL's scheme, host and port, as `trusted` names them.

    Raises:
        FetchError: it is no http or https URL.
    """
    return _parts(url)[0]


def _onward(url: str, raw: _Raw) -> str:
    """Where an answer leads; a header comes as Latin-1, whatever its bytes mean."""
    said = str(raw.headers.get("location") or "")
    return urljoin(url, quote(said.encode("latin-1", "replace"), _WRITTEN))


def _media_type(raw: _Raw) -> str:
    return str(raw.headers.get("content-type") or "").partition(";")[0].strip().lower()


def _rest(raw: _Raw) -> float:
    """The seconds of a Retry-After, which names them or a date; a minute where it is neither."""
    told = str(raw.headers.get("retry-after") or "")
    with suppress(ValueError, OverflowError, TypeError):
        left = float(told) if told.isdigit() else (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
        return min(LONGEST_REST_S, max(0.0, left))
    return 60.0


def _refusal(status: int) -> str:
    why = {429: " (too many requests)", 401: " (it wants a key)", 403: " (not allowed)", 404: " (not there)"}
    return f"it answered {status}{why.get(status, '')}"
