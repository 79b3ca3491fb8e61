"""The Brokers' ingress: POST /NAMESPACE/BROKER takes a CloudEvent and answers 202 once its topic has it.

Every event of every agent passes here, so its path is looked up before any other route is.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence

import uvicorn
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from eventing.envelope import from_request, to_record
from eventing.errors import EventingError, NotACloudEventError, PayloadTooLargeError, UnsupportedMediaTypeError
from eventing.http import body_of, problem
from eventing.kafka import MAX_RECORD_BYTES, Producer
from eventing.local.resources import Broker

_KEPT_S = 75  # an idle connection; longer than whoever posts keeps it
_GRACE_S = 2
_ACCEPTED = Response(status_code=202)


class Ingress:
    """An ASGI application: the path of every Broker, and beside them the routes that are given."""

    def __init__(self, brokers: Iterable[Broker], producer: Producer, routes: Sequence[BaseRoute] = ()) -> None:
        self._topics = {f"/{b.namespace}/{b.name}": b.topic for b in brokers}
        self._producer = producer
        self._others = Router(routes, default=self._unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        topic = self._topics.get(scope["path"])
        if topic is None or scope["method"] != "POST":
            await self._others(scope, receive, send)
            return
        with contextlib.suppress(ClientDisconnect):
            answer = await self._taken(topic, Request(scope, receive))
            await answer(scope, receive, send)

    async def _taken(self, topic: str, request: Request) -> Response:
        try:
            event = from_request(request.headers, await body_of(request, MAX_RECORD_BYTES))
            headers, key, value = to_record(event)
            await self._producer.produce(topic, value, key, headers)
        except PayloadTooLargeError:
            # Eventing tells no producer's failure from another.
            detail = f"an event holds at most {MAX_RECORD_BYTES} bytes; send `dataref` instead"
            return problem({"title": "Too large", "status": 503, "detail": detail})
        except (NotACloudEventError, UnsupportedMediaTypeError) as error:
            return problem(error.problem() | {"status": 400})
        except EventingError as error:
            return problem(error.problem())
        except asyncio.CancelledError:  # the grace at the end is over
            detail = "the platform stops while Kafka is away; post the event again once it is up"
            return problem({"title": "Stopping", "status": 503, "detail": detail})
        return _ACCEPTED

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            detail = f"POST events here, not {scope['method']}"
            answer = problem({"title": "Method not allowed", "status": 405, "detail": detail}, {"Allow": "POST"})
        else:
            known = ", ".join(sorted(self._topics)) or "none"
            detail = f"there is no Broker {scope['path'][:200]}; there are {known}"
            answer = problem({"title": "No such Broker", "status": 404, "detail": detail})
        await answer(scope, receive, send)


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the platform's."""
        yield


@contextlib.asynccontextmanager
async def serving(app: ASGIApp, port: int) -> AsyncIterator[None]:
    """The application on 127.0.0.1:port.

    Raises:
        OSError: when the port is taken.
    """
    config = uvicorn.Config(
        app, http="httptools", ws="none", lifespan="off", log_config=None, log_level="error", access_log=False,
        server_header=False, date_header=False, proxy_headers=False,
        timeout_keep_alive=_KEPT_S, timeout_graceful_shutdown=_GRACE_S,
    )  # fmt: skip
    with socket.create_server(("127.0.0.1", port), backlog=config.backlog) as listener:
        server = _Server(config)
        serves = asyncio.ensure_future(server.serve([listener]))
        try:
            yield
        finally:
            server.should_exit = True
            await serves
