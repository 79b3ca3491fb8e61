"""HTTP to the model servers; the only module of the scheduler that imports an HTTP client.

Every call is streamed from the server, whatever its caller asked for: what came is journaled as it comes. Vendor errors are
translated here: what happened, whether it tells against the server, whether anything was bought.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import aiohttp

from inference.scheduler import wire
from inference.scheduler.config import Limits, Server
from inference.scheduler.errors import RefusedError

SHOWN = 300
_LONGEST_LINE = 4 * 1024 * 1024


class UpstreamError(Exception):
    """A server failed on a call. `counts`: it tells against the server; `bought`: tokens may have been generated."""

    counts: ClassVar[bool] = True
    bought: ClassVar[bool] = False
    after: float | None = None  # seconds until it wants to be asked again


class UnreachedError(UpstreamError):
    """No connection: nothing was sent."""


class BusyError(UpstreamError):
    """It takes no call now (429), which is no fault of it."""

    counts = False

    def __init__(self, told: str, after: float) -> None:
        self.after = after
        super().__init__(told)


class UnavailableError(UpstreamError):
    """It takes no call (503): it is still loading, its queue is full, or it is about to end."""

    def __init__(self, told: str, after: float) -> None:
        self.after = after
        super().__init__(told)


class MisconfiguredError(UpstreamError):
    """It serves nobody as it is configured here: wrong key, wrong URL, unknown model."""


class BrokenError(UpstreamError):
    """It answered 5xx or no completion, broke off, or fell silent."""

    bought = True


class Upstream:
    """Connections to all servers."""

    def __init__(self, limits: Limits, environ: Mapping[str, str]) -> None:
        self._limits, self._environ = limits, environ
        self._http: aiohttp.ClientSession | None = None

    @property
    def http(self) -> aiohttp.ClientSession:
        if self._http is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._limits.connect_s)
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0)
            self._http = aiohttp.ClientSession(connector=connector, timeout=timeout, auto_decompress=True)
        return self._http

    async def close(self) -> None:
        if self._http is not None:
            await self._http.close()

    async def stream(
        self, server: Server, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncIterator[dict[str, Any]]:
        """The chunks of an answer as they come; `headers` are sent beside what the server needs.

        Raises:
            UpstreamError: the server failed.
            RefusedError: it declined the call, as every other server would.
        """
        options = {"include_usage": True} | ({"continuous_usage_stats": True} if server.kind == "vllm" else {})
        sent = {**body, "stream": True, "stream_options": options}
        ended = False
        async with self._asked(server, "POST", path, sent, headers) as answer:
            if answer.status != 200:
                raise self._refusal(server, answer, await self._text(server, answer))
            if "event-stream" not in answer.headers.get("Content-Type", ""):
                yield self._whole(server, await self._text(server, answer))
                return
            async for line in self._lines(server, answer):
                if line == b"[DONE]":
                    return
                chunk = self._parsed(server, line)
                ended = ended or any(choice.get("finish_reason") for choice in chunk["choices"])
                yield chunk
        if not ended:
            raise BrokenError(f"{server.name} broke off in the middle of its answer")

    async def get(self, server: Server, path: str, limit_s: float = 2.0) -> tuple[int, str]:
        """Status and text of a page beside the API, for instance `metrics`; (0, why) when there is no answer."""
        url = f"{server.url.rstrip('/').removesuffix('/v1')}/{path}"
        try:
            async with self.http.get(url, timeout=aiohttp.ClientTimeout(total=limit_s), allow_redirects=False) as answer:
                return answer.status, await answer.text(errors="replace")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return 0, type(error).__name__

    async def post(self, url: str, headers: Mapping[str, str], body: bytes, limit_s: float = 5.0) -> int:
        """The status that a POST was answered with; 0 when there was no answer."""
        limit = aiohttp.ClientTimeout(total=limit_s)
        try:
            async with self.http.post(url, headers=headers, data=body, timeout=limit, allow_redirects=False) as answer:
                return answer.status
        except (aiohttp.ClientError, TimeoutError, OSError):
            return 0

    @asynccontextmanager
    async def _asked(
        self, server: Server, method: str, path: str, body: Mapping[str, Any], given: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {"Accept": "text/event-stream", **given}
        if key := server.key(self._environ):
            headers["Authorization"] = f"Bearer {key}"
        if server.kind == "llama.cpp":  # it closes kept connections without saying so
            headers["Connection"] = "close"
        url = f"{server.url.rstrip('/')}/{path}"
        try:
            async with asyncio.timeout(self._limits.first_token_s):
                answer = await self.http.request(method, url, json=body, headers=headers, allow_redirects=False)
        except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError) as error:
            raise UnreachedError(f"{server.name} cannot be reached: {type(error).__name__}") from error
        except TimeoutError as error:
            raise BrokenError(f"{server.name} gave no answer within {self._limits.first_token_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenError(f"{server.name} broke the connection: {type(error).__name__}") from error
        try:
            yield answer
        finally:
            answer.close()  # an answer that is not read to its end is aborted: the server's slot is free again

    async def _lines(self, server: Server, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        """What stands behind `data:`, line by line."""
        kept, limit = b"", self._limits.first_token_s
        while True:
            try:
                async with asyncio.timeout(limit):
                    read = await answer.content.readany()
            except TimeoutError as error:
                raise BrokenError(f"{server.name} was silent for {limit:g} s") from error
            except (aiohttp.ClientError, OSError) as error:
                raise BrokenError(f"{server.name} broke off: {type(error).__name__}") from error
            if not read:
                return
            limit = self._limits.silence_s
            *lines, kept = (kept + read).split(b"\n")
            if len(kept) > _LONGEST_LINE:
                raise BrokenError(f"{server.name} answered a line of more than {_LONGEST_LINE} bytes")
            for line in lines:
                if line.startswith(b"data:"):
                    yield line[5:].strip()

    def _parsed(self, server: Server, line: bytes) -> dict[str, Any]:
        try:
            chunk = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise BrokenError(f"{server.name} streamed no JSON but {_shown(line.decode('utf-8', 'replace'))}") from error
        if isinstance(chunk, dict) and chunk.get("error"):
            code, told = _told(json.dumps(chunk))
            status = chunk["error"].get("code") if isinstance(chunk["error"], dict) else None
            if status in (400, 413, 422):
                raise RefusedError(f"{server.name}: {told}", int(status), code)
            raise BrokenError(f"{server.name} failed in the middle of its answer: {self._masked(server, told)}")
        if not isinstance(chunk, dict) or not _sound(chunk.get("choices")):
            raise BrokenError(f"{server.name} streamed no completion but {_shown(line.decode('utf-8', 'replace'))}")
        return chunk

    def _whole(self, server: Server, text: str) -> dict[str, Any]:
        """The answer of a server that does not stream."""
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise BrokenError(f"{server.name} answered no JSON but {_shown(text)}; is {server.url} its API?") from error
        if not isinstance(found, dict) or not found.get("choices") or not _sound(found["choices"]):
            raise BrokenError(f"{server.name} answered no completion but {_shown(text)}")
        return wire.as_chunk(found)

    async def _text(self, server: Server, answer: aiohttp.ClientResponse) -> str:
        try:
            async with asyncio.timeout(self._limits.first_token_s):
                return self._masked(server, await answer.text(errors="replace"))
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise BrokenError(f"{server.name} broke off: {type(error).__name__}") from error

    def _masked(self, server: Server, text: str) -> str:
        """The text without the server's key, which some servers repeat in their errors."""
        key = server.key(self._environ)
        return text.replace(key, "***") if key else text

    def _refusal(self, server: Server, answer: aiohttp.ClientResponse, text: str) -> Exception:
        code, told = _told(text)
        said = f"{server.name} answered {answer.status}: {told}"
        if answer.status == 429 and code not in ("insufficient_quota", "billing_hard_limit_reached"):
            return BusyError(said, _after(answer, 1.0))
        if answer.status == 503:
            return UnavailableError(said, _after(answer, 0.5))
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


def _after(answer: aiohttp.ClientResponse, otherwise: float) -> float:
    """Seconds until the server wants to be asked again; a minute at most."""
    after = answer.headers.get("Retry-After", "")
    return min(float(after), 60.0) if after.isdecimal() else otherwise


def _sound(choices: Any) -> bool:
    return isinstance(choices, list) and all(
        isinstance(one, dict) and isinstance(one.get("delta") or {}, dict) and type(one.get("index", 0)) is int
        for one in choices
    )


def _told(text: str) -> tuple[str, str]:
    """Code and message of an error in OpenAI's format, or what can be shown of anything else."""
    try:
        error = json.loads(text)
        error = error.get("error", error)
        if isinstance(error, str):
            return "", error[:SHOWN]
        codes = f"{error.get('code') or ''} {error.get('type') or ''}".split()
        return next((c for c in codes if not c.isdecimal()), ""), str(error.get("message") or error)[:SHOWN]
    except (ValueError, AttributeError, RecursionError):
        return "", _shown(text)


def _shown(text: str) -> str:
    return (repr(text[:SHOWN]) + "..." * (len(text) > SHOWN)) if text.strip() else "nothing"
