"""HTTP to the model servers; the only module of the scheduler that imports an HTTP client.

Every call is streamed from the server, whatever its caller asked for: what came is journaled as it comes. Vendor errors are
translated here: what happened, whether it tells against the server, whether anything was bought.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from inference.scheduler.assembly import as_chunk, says, sound
from inference.scheduler.config import Limits, Server
from inference.scheduler.errors import RefusedError
from inference.scheduler.failures import (
    BrokenError,
    BusyError,
    LostError,
    MisconfiguredError,
    SilentError,
    UnavailableError,
    UnreachedError,
)
from inference.scheduler.patience import Patience, Pulse
from inference.scheduler.wire import deep

SHOWN = 300
SHORTEST_PAUSE_S = 0.1  # before a server that takes nothing is asked again, whatever it says
LONGEST_PAUSE_S = 60.0
_LONGEST_LINE = 4 * 1024 * 1024
_LARGEST = 256 * 1024 * 1024  # of an answer, as it is streamed


class Upstream:
    """Connections to all servers."""

    def __init__(self, limits: Limits, environ: Mapping[str, str]) -> None:
        self._limits, self._environ = limits, environ
        self._http: aiohttp.ClientSession | None = None
        self._pulses: defaultdict[str, Pulse] = defaultdict(Pulse)

    @property
    def http(self) -> aiohttp.ClientSession:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s)
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0)
            jar = aiohttp.DummyCookieJar()  # no server's cookies go with another call
            self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=jar)
        return self._http

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def stream(
        self,
        server: Server,
        path: str,
        body: Mapping[str, Any],
        headers: Mapping[str, str],
        silence_s: float = math.inf,
    ) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks of an answer as they come; `headers` are sent beside what the server needs.

        It is given up after `silence_s` without a token, or earlier where the limits say so.

        Raises:
            UpstreamError: the server failed.
            RefusedError: it declined the call, as every other server would.
        """
        options = {"include_usage": True} | ({"continuous_usage_stats": True} if server.kind == "vllm" else {})
        sent = {**body, "stream": True, "stream_options": options}
        patience = Patience(self._limits, self._pulses[server.name], silence_s)
        async with self._asked(server, path, sent, headers, patience) as answer:
            if answer.status != 200:
                raise self._refusal(server, answer, await self._text(server, answer, patience))
            if "event-stream" not in answer.headers.get("Content-Type", ""):
                yield self._whole(server, await self._text(server, answer, patience))
                return
            async for line in self._lines(server, answer, patience):
                if line == b"[DONE]":
                    return
                chunk = self._parsed(server, line)
                if says(chunk):
                    patience.renew()
                yield chunk

    async def get(self, server: Server, path: str, limit_s: float = 2.0) -> tuple[int, str]:
        """Status and text of a page beside the API, for instance `metrics`; (0, why) when there is no answer."""
        url = f"{server.url.rstrip('/').removesuffix('/v1')}/{path}"
        try:
            async with self.http.get(url, timeout=aiohttp.ClientTimeout(total=limit_s), allow_redirects=False) as answer:
                return answer.status, await _read(answer)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            return 0, type(error).__name__

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, limit_s: float = 5.0) -> int:
        """The status that a POST was answered with; 0 when there was no answer."""
        limit = aiohttp.ClientTimeout(total=limit_s)
        try:
            async with self.http.post(url, headers=headers, data=body, timeout=limit, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return 0

    @asynccontextmanager
    async def _asked(
        self, server: Server, path: str, body: Mapping[str, Any], given: Mapping[str, str], patience: Patience
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": "text/event-stream", **given}
        if key := server.key(self._environ):
            headers["Authorization"] = f"Bearer {key}"
        if server.kind == "llama.cpp":  # it closes kept connections without saying so
            headers["Connection"] = "close"
        url = f"{server.url.rstrip('/')}/{path}"
        try:
            async with asyncio.timeout_at(patience.until):
                answer = await self.http.post(url, json=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
            raise UnreachedError(f"{server.name} cannot be reached: {type(error).__name__}") from error
        except TimeoutError as error:
            raise SilentError(f"{server.name} gave no answer within {patience.limit_s:g} s") from error
        except (aiohttp.InvalidURL, ValueError) as error:
            raise MisconfiguredError(
                f"{server.name} cannot be asked: look at its `url`, and at what `key_env` holds"
            ) from error
        except (aiohttp.ClientError, OSError) as error:
            raise LostError(f"{server.name} broke the connection: {type(error).__name__}") from error
        try:
            yield answer
        finally:
            answer.close()  # an answer that is not read to its end is aborted: the server's slot is free again

    async def _lines(self, server: Server, answer: aiohttp.ClientResponse, patience: Patience) -> AsyncIterator[bytes]:
        """What stands behind `data:`, line by line."""
        kept, size = b"", 0
        while True:
            try:
                async with asyncio.timeout_at(patience.until):
                    read = await answer.content.readany()
            except TimeoutError as error:
                if not patience.over:  # other answers of the server were heard meanwhile
                    continue
                raise _broken(server, error, patience) from error
            except (aiohttp.ClientError, OSError) as error:
                raise _broken(server, error, patience) from error
            if not read:
                return
            size += len(read)
            *lines, kept = (kept + read).split(b"\n")
            if len(kept) > _LONGEST_LINE or size > _LARGEST:
                raise BrokenError(f"{server.name} answered without end, {size} bytes so far")
            for line in lines:
                if line.startswith(b"data:") and (said := line[5:].strip()):
                    yield said
            if patience.over:
                raise SilentError(f"{server.name} was silent for {patience.limit_s:g} s")

    def _parsed(self, server: Server, line: bytes) -> dict[str, Any]:
        try:
            chunk = json.loads(line, parse_constant=_nothing)
        except (ValueError, RecursionError) as error:
            raise BrokenError(f"{server.name} streamed no JSON but {self._shown(server, line)}") from error
        if isinstance(chunk, dict) and chunk.get("error"):
            code, told = self._told(server, json.dumps(chunk))
            status = chunk["error"].get("code") if isinstance(chunk["error"], dict) else None
            if status in (400, 413, 422):
                raise RefusedError(f"{server.name}: {told}", int(status), code)
            raise BrokenError(f"{server.name} failed in the middle of its answer: {told}")
        if not isinstance(chunk, dict) or not sound(chunk.get("choices")) or deep(chunk):
            raise BrokenError(f"{server.name} streamed no completion but {self._shown(server, line)}")
        return chunk

    def _whole(self, server: Server, text: str) -> dict[str, Any]:
        """The answer of a server that does not stream."""
        try:
            found = json.loads(text, parse_constant=_nothing)
        except (ValueError, RecursionError) as error:
            raise BrokenError(
                f"{server.name} answered no JSON but {self._shown(server, text)}; is {server.url} its API?"
            ) from error
        if not isinstance(found, dict) or not found.get("choices") or not sound(found["choices"]) or deep(found):
            raise BrokenError(f"{server.name} answered no completion but {self._shown(server, text)}")
        return as_chunk(found)

    async def _text(self, server: Server, answer: aiohttp.ClientResponse, patience: Patience) -> str:
        try:
            async with asyncio.timeout_at(patience.until):
                return await _read(answer)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise _broken(server, error, patience) from error

    def _masked(self, server: Server, text: str) -> str:
        """The text without the server's key, which some servers repeat in their errors."""
        key = server.key(self._environ)
        return text.replace(key, "***") if key else text

    def _shown(self, server: Server, text: str | bytes) -> str:
        text = self._masked(server, text if isinstance(text, str) else text.decode("utf-8", "replace"))
        return (repr(text[:SHOWN]) + "..." * (len(text) > SHOWN)) if text.strip() else "nothing"

    def _told(self, server: Server, text: str) -> tuple[str, str]:
        """Code and message of an error in OpenAI's format, or what can be shown of anything else."""
        try:
            error = json.loads(text)
            error = error.get("error", error)
            if isinstance(error, str):
                return "", self._masked(server, error)[:SHOWN]
            codes = self._masked(server, f"{error.get('code') or ''} {error.get('type') or ''}").split()
            told = self._masked(server, str(error.get("message") or error))
        except (ValueError, AttributeError, RecursionError):
            return "", self._shown(server, text)
        return next((code for code in codes if not code.isdecimal()), "")[:80], told[:SHOWN]

    def _refusal(self, server: Server, answer: aiohttp.ClientResponse, text: str) -> Exception:
        code, told = self._told(server, text)
        said, after = f"{server.name} answered {answer.status}: {told}", answer.headers.get("Retry-After", "")
        if answer.status == 429 and code not in ("insufficient_quota", "billing_hard_limit_reached"):
            return BusyError(said, _pause(after, 1.0))
        if answer.status == 503:
            return UnavailableError(said, _pause(after, 0.5))
        if answer.status in (401, 403) or answer.status == 429:
            return MisconfiguredError(
                f"{said}; put a key that it takes into {server.key_env or 'a variable, and that variable into key_env'}"
            )
        if answer.status == 404:
            return MisconfiguredError(f"{said}; `url` must be the API's base and `model` a model of GET {server.url}/models")
        if answer.status >= 500 or answer.status == 408:
            return BrokenError(said)
        if answer.status < 400:
            return MisconfiguredError(f"{said}; redirects are not followed: correct its `url`")
        hint = "; send a shorter prompt, or fewer max_tokens" if "context" in f"{code} {told}".lower() else ""
        return RefusedError(said + hint, answer.status, code)


async def _read(answer: aiohttp.ClientResponse) -> str:
    """A body as text, whatever it says of itself; what is beyond all measure is cut."""
    read = bytearray()
    while len(read) < _LONGEST_LINE and (more := await answer.content.readany()):
        read += more
    return read.decode("utf-8", "replace")


def _broken(server: Server, error: Exception, patience: Patience) -> BrokenError:
    if isinstance(error, TimeoutError):
        return SilentError(f"{server.name} was silent for {patience.limit_s:g} s")
    return LostError(f"{server.name} broke off: {type(error).__name__}")


def _pause(after: str, otherwise: float) -> float:
    """Seconds that a Retry-After asks for, which may be a date."""
    try:
        asked = float(after) if after.isdecimal() else (parsedate_to_datetime(after) - datetime.now(UTC)).total_seconds()
    except (ValueError, TypeError, OverflowError):
        asked = otherwise
    return min(max(asked, SHORTEST_PAUSE_S), LONGEST_PAUSE_S)


def _nothing(_: str) -> None:
    """NaN and the infinities are no JSON."""
