"""The scheduler's HTTP side: OpenAI's API for callers, accounts for the gateway, figures for whoever looks after it."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from inference.scheduler import watching
from inference.scheduler.admission import Admission
from inference.scheduler.calls import Calls
from inference.scheduler.config import Pools
from inference.scheduler.errors import BadCallError, CallError
from inference.scheduler.generation import Generation
from inference.scheduler.journal import Journal
from inference.scheduler.metrics import STATES, Metrics
from inference.scheduler.servers import ModelServer
from inference.scheduler.wire import CHAT, TEXT, Ask, moment_of, read, sse

BODY_BYTES = 32 * 1024 * 1024
LONGEST_WAIT_S = 30.0
MOST_BUDGET = 10**12
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Service:
    """Routes over the parts of one scheduler."""

    def __init__(
        self,
        pools: Pools,
        servers: list[ModelServer],
        calls: Calls,
        admission: Admission,
        journal: Journal,
        metrics: Metrics,
    ) -> None:
        self._pools, self._servers, self._calls, self._admission = pools, servers, calls, admission
        self._journal, self._metrics = journal, metrics
        self._since = int(time.time())

    def app(self) -> web.Application:
        """The application; run it with handler_cancellation, or callers that go away are not noticed."""
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[_errors])
        app.router.add_post(f"/v1/{CHAT}", self._completion(CHAT))
        app.router.add_post(f"/v1/{TEXT}", self._completion(TEXT))
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/health", self._health)
        app.router.add_get("/metrics", self._figures)
        app.router.add_get("/state", self._state)
        app.router.add_put("/requests/{id}", self._open)
        app.router.add_get("/requests/{id}", self._account)
        app.router.add_delete("/requests/{id}", self._close)
        app.router.add_get("/requests/{id}/tokens", self._tokens)
        return app

    def _completion(self, path: str) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            ask = read(path, await request.read(), request.headers, self._pools.limits.max_tokens)
            generation = self._calls.begin(ask)
            try:
                if ask.stream:
                    return await _streamed(request, ask, generation)
                return web.json_response(await generation.whole(), dumps=_dumps)
            finally:
                self._calls.leave(generation)

        return handle

    async def _models(self, _: web.Request) -> web.Response:
        listed = [{"id": m, "object": "model", "created": self._since, "owned_by": "torpor"} for m in self._calls.models]
        return web.json_response({"object": "list", "data": listed})

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _figures(self, _: web.Request) -> web.Response:
        metrics, book = self._metrics, self._journal.book
        for server in self._servers:
            metrics.breaker.labels(server.name).set(STATES[server.breaker.state])
            metrics.slots.labels(server.name).set(server.slots)
            metrics.in_flight.labels(server.name).set(server.outstanding)
        metrics.waiting.set(self._admission.waiting)
        metrics.open_requests.set(book.open)
        return web.Response(body=metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    async def _state(self, _: web.Request) -> web.Response:
        book = self._journal.book
        servers = [
            {
                "name": server.name,
                "breaker": server.breaker.state,
                "in_flight": server.outstanding,
                "slots": server.slots,
                "waiting_there": server.waiting,
                "kv_cache": server.kv_cache,
                "tokens_a_second": round(1 / server.pace.token_s, 1) if server.pace.token_s else None,
            }
            for server in self._servers
        ]
        told = {
            "servers": servers,
            "waiting": self._admission.waiting,
            "open_requests": book.open,
            "call_keys": book.keys,
            "generations": book.starts,
            "tokens_twice": book.twice,
        }
        return web.json_response(told)

    async def _open(self, request: web.Request) -> web.Response:
        budget, deadline = _terms(await request.read())
        account = self._calls.ledger.open(request.match_info["id"], budget, deadline, admitted=True)
        return web.json_response({"budget_tokens": account.budget, "spent_tokens": account.spent}, status=201)

    async def _account(self, request: web.Request) -> web.Response:
        account = self._journal.book.requests.get(request.match_info["id"])
        if account is None:
            raise _Unknown(f"request {request.match_info['id'][:80]} is not open")
        told = {
            "budget_tokens": account.budget,
            "spent_tokens": account.spent,
            "reserved_tokens": account.reserved,
            "deadline": datetime.fromtimestamp(account.deadline, UTC).isoformat() if account.deadline else None,
            "calls": [
                {
                    "call": call.key,
                    "generations": call.starts,
                    "tokens": call.tokens,
                    "tokens_twice": call.twice,
                    "done": call.answer is not None,
                }
                for call in account.calls.values()
            ],
        }
        return web.json_response(told)

    async def _close(self, request: web.Request) -> web.Response:
        self._calls.ledger.end(request.match_info["id"], datetime.now(UTC))
        return web.Response(status=204)

    async def _tokens(self, request: web.Request) -> web.Response:
        try:
            wait_s = min(LONGEST_WAIT_S, max(0.0, float(request.query.get("wait", "0"))))
        except ValueError:
            raise BadCallError("`wait` must be a number of seconds") from None
        after = request.query.get("after", "")
        return web.json_response(
            await watching.news(self._journal.book, request.match_info["id"], after, wait_s), dumps=_dumps
        )


class _Unknown(BadCallError):
    status, code = 404, "unknown_request"


def _terms(raw: bytes) -> tuple[int | None, datetime]:
    """Budget and deadline of a request that is to be opened."""
    try:
        given = json.loads(raw)
        budget, deadline = given.get("budget_tokens"), moment_of(given["deadline"])
        if budget is None or (type(budget) is int and 0 <= budget < MOST_BUDGET):
            return budget, deadline
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise BadCallError('send {"budget_tokens": 60000, "deadline": "2026-01-31T12:00:00+00:00"}; budget_tokens may be absent')


async def _streamed(request: web.Request, ask: Ask, generation: Generation) -> web.StreamResponse:
    """The answer as server-sent events; what fails before the first is an error, what fails later ends the stream by one."""
    chunks = generation.chunks()
    first = await anext(chunks, None)
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
    await response.prepare(request)
    try:
        async for chunk in _all(first, chunks):
            if chunk.get("choices"):
                await response.write(sse({name: value for name, value in chunk.items() if name != "usage"}))
        if ask.usage_wanted and generation.answer:
            told = {name: generation.answer.get(name) for name in ("id", "created", "model", "usage", "torpor")}
            await response.write(sse({**told, "object": "chat.completion.chunk", "choices": []}))
        await response.write(sse("[DONE]"))
    except CallError as error:
        await response.write(sse(error.body()))
    await response.write_eof()
    return response


async def _all(first: dict[str, Any] | None, rest: AsyncIterator[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    if first is not None:
        yield first
    async for one in rest:
        yield one


def _dumps(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace").decode()


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error in OpenAI's format; none with a traceback."""
    try:
        return await handler(request)
    except CallError as error:
        wait = {"Retry-After": str(round(error.retry_after + 0.5))} if error.retry_after else {}
        return web.json_response(error.body(), status=error.status, headers=wait, dumps=_dumps)
    except web.HTTPException as error:
        told = BadCallError(f"{request.method} {request.path[:100]}: {error.reason}")
        return web.json_response(told.body(), status=error.status)
    except web.RequestPayloadError as error:
        told = BadCallError(f"the body cannot be read: {' '.join(str(error).split())}")
        return web.json_response(told.body(), status=told.status)
    except (asyncio.CancelledError, ConnectionError):
        raise
    except Exception:
        logging.getLogger(__name__).exception("%s %s", request.method, request.path)
        return web.json_response(CallError("the scheduler failed; its log says more").body(), status=500)
