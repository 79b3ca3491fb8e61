"""The Brokers' ingress: POST /NAMESPACE/BROKER takes a CloudEvent and answers 202 once its topic has it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable

from aiohttp import web

from eventing.envelope import from_request, to_record
from eventing.errors import EventingError, NotACloudEventError, PayloadTooLargeError, UnsupportedMediaTypeError
from eventing.kafka import MAX_RECORD_BYTES, Producer
from eventing.local.resources import Broker


class Ingress:
    """The handler of every Broker's path."""

    def __init__(self, brokers: Iterable[Broker], producer: Producer) -> None:
        self._topics = {(b.namespace, b.name): b.topic for b in brokers}
        self._producer = producer

    def routes(self) -> list[web.AbstractRouteDef]:
        return [web.route("*", "/{namespace}/{broker}", self.take)]

    async def take(self, request: web.Request) -> web.Response:
        if request.method != "POST":
            return problem(405, "Method not allowed", f"POST events here, not {request.method}", {"Allow": "POST"})
        namespace, broker = request.match_info["namespace"], request.match_info["broker"]
        topic = self._topics.get((namespace, broker))
        if topic is None:
            known = ", ".join(f"/{ns}/{name}" for ns, name in sorted(self._topics))
            return problem(404, "No such Broker", f"there is no Broker {namespace}/{broker}; there are {known or 'none'}")
        try:
            event = from_request(request.headers, await request.read())
            headers, key, value = to_record(event)
            await self._producer.produce(topic, value, key, headers)
        except (web.HTTPRequestEntityTooLarge, PayloadTooLargeError):
            # Eventing tells no producer's failure from another.
            return problem(503, "Too large", f"an event holds at most {MAX_RECORD_BYTES} bytes; send `dataref` instead")
        except (NotACloudEventError, UnsupportedMediaTypeError) as error:
            return problem(400, error.title, str(error))
        except EventingError as error:
            return problem(error.status, error.title, str(error))
        return web.Response(status=202)


def problem(status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> web.Response:
    """problem+json (RFC 9457)."""
    body = json.dumps({"type": "about:blank", "title": title, "status": status, "detail": detail})
    return web.Response(status=status, text=body, content_type="application/problem+json", headers=headers)


async def serve(app: web.Application, port: int) -> web.AppRunner:
    """The application on 127.0.0.1:port; clean the runner up to stop it."""
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=2)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
    except (OSError, asyncio.CancelledError):
        await runner.cleanup()
        raise
    return runner
