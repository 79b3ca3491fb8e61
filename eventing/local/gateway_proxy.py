"""The port that people and curl use: all goes through to the gateway function, which wakes for it; streams stay streams."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from eventing.http import problem
from eventing.local.functions import Scaled
from eventing.local.instance import FunctionUnavailableError
from eventing.local.resources import Sink

# What concerns one connection only (RFC 9110 7.6.1), and what the client and server set anew.
_HOP = {"connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"}
_UNLIMITED = aiohttp.ClientTimeout(total=None, sock_connect=5)


@asynccontextmanager
async def serving(through: Callable[[web.Request], Awaitable[web.StreamResponse]], port: int) -> AsyncIterator[None]:
    """127.0.0.1:port, where every request goes one way; one whose client leaves is given up.

    Raises:
        OSError: when the port is taken.
    """
    app = web.Application(client_max_size=0)
    app.router.add_route("*", "/{path:.*}", through)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield
    finally:
        await runner.cleanup()


class GatewayProxy:
    """Passes requests to one function."""

    def __init__(self, function: Scaled, http: aiohttp.ClientSession) -> None:
        self._function = function
        self._http = http

    async def through(self, request: web.Request) -> web.StreamResponse:
        while True:
            try:
                async with self._function.request() as place:
                    try:
                        return await passed(self._http, request, place.url, place.headers)
                    except aiohttp.ClientConnectorError:
                        self._function.gone(place.instance, "takes no connections")  # it got nothing: another may
            except FunctionUnavailableError as error:
                return _problem(error.problem())
            except aiohttp.ClientError as error:
                detail = f"the gateway went away while it answered: {error or type(error).__name__}; its log says why"
                return _problem({"title": "Bad gateway", "status": 502, "detail": detail})


class ServiceProxy:
    """Passes requests to a Service."""

    def __init__(self, service: Sink, http: aiohttp.ClientSession) -> None:
        self._service = service
        self._http = http

    async def through(self, request: web.Request) -> web.StreamResponse:
        try:
            return await passed(self._http, request, self._service.uri, self._service.headers)
        except aiohttp.ClientError as error:
            detail = f"{self._service}: {error or type(error).__name__}"
            return _problem({"title": "Bad gateway", "status": 502, "detail": detail})


async def passed(http: aiohttp.ClientSession, request: web.Request, to: str, also: Mapping[str, str]) -> web.StreamResponse:
    """Pass a request on to another server, with headers in addition to its own.

    Raises:
        aiohttp.ClientError: there was no answer.
    """
    headers = _kept(request.headers)
    headers["X-Forwarded-For"] = request.remote or "127.0.0.1"
    headers["X-Forwarded-Proto"] = request.scheme
    headers.update(also)
    async with http.request(
        request.method,
        URL(f"{to}{request.raw_path}", encoded=True),
        headers=headers,
        data=request.content if request.body_exists else None,
        allow_redirects=False,
        auto_decompress=False,
        timeout=_UNLIMITED,
    ) as answer:
        return await _relayed(request, answer)


async def _relayed(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_kept(answer.headers))
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_any():
            await response.write(chunk)
        await response.write_eof()
    except aiohttp.ClientError:
        # The answer has begun: the only way to say that it is not whole is to cut the connection.
        if request.transport is not None:
            request.transport.close()
    except ConnectionError:
        pass  # the client left
    return response


def _problem(content: dict[str, Any]) -> web.Response:
    told = problem(content)
    return web.Response(status=told.status_code, body=bytes(told.body), content_type=told.media_type or "")


def _kept(headers: Mapping[str, str]) -> CIMultiDict[str]:
    return CIMultiDict((name, value) for name, value in headers.items() if name.lower() not in _HOP)
