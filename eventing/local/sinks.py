"""Sending one event to where it goes: a function, a Broker's topic, or a URL. Once; what fails is told, not tried again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

import aiohttp

from eventing.envelope import Event, to_record, to_request
from eventing.errors import EventingError
from eventing.kafka import Producer
from eventing.local import stuck
from eventing.local.functions import Functions
from eventing.local.instance import FunctionUnavailableError, Instance
from eventing.local.resources import Broker, Function, Sink
from eventing.posting import ExchangeError, LateError, UnreachedError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Answer:
    """What a sink answered."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class UnreachableError(Exception):
    """There was no answer: a network error, or the time-out is over."""


class Sinks:
    """The ways to every sink, over one HTTP client and one producer."""

    def __init__(self, functions: Functions, producer: Producer, http: aiohttp.ClientSession) -> None:
        self._functions = functions
        self._producer = producer
        self._http = http

    async def send(self, sink: Sink, event: Event, timeout_s: float, namespace: str = "") -> Answer:
        """The sink's answer.

        Raises:
            UnreachableError: when there is none in time.
        """
        try:
            async with asyncio.timeout(timeout_s):
                if sink.broker:
                    return await self._into(sink.broker, event)
                headers, body = to_request(event)
                headers |= {"Prefer": "reply", "Kn-Namespace": namespace}
                if sink.function:
                    return await self._call(self._functions[sink.function].function, sink.uri, headers, body)
                return await self._post(sink.uri, headers | sink.headers, body)
        except TimeoutError:
            raise UnreachableError(f"no answer from {sink} within {timeout_s:g} s") from None
        except aiohttp.ClientError as error:
            raise UnreachableError(f"{sink}: {error or type(error).__name__}") from error

    async def publish(self, broker: Broker, event: Event) -> None:
        """Produce to the Broker's topic, keyed by `partitionkey`.

        Raises:
            EventingError: when the topic did not take it.
        """
        headers, key, value = to_record(event)
        await self._producer.produce(broker.topic, value, key, headers)

    async def _into(self, broker: Broker, event: Event) -> Answer:
        try:
            await self.publish(broker, event)
        except EventingError as error:
            return Answer(503, body=str(error).encode())  # as the Broker's ingress, whatever it was
        return Answer(202)

    async def _call(self, function: Function, path: str, headers: dict[str, str], body: bytes) -> Answer:
        """As Serving: 504 when the function's own time is over, 502 when it dies meanwhile, 503 when it cannot start."""
        scaled = self._functions[function.name]
        while True:
            try:
                async with scaled.request() as place:
                    told, poster = headers | place.headers, place.instance.poster
                    try:
                        reply = await poster.post(path.lstrip("/"), told, body, function.time_limit_s)
                        return Answer(reply.status, reply.headers, reply.body)
                    except UnreachedError:
                        scaled.gone(place.instance, "takes no connections")  # it got nothing: another process may
            except FunctionUnavailableError as error:
                return Answer(503, body=str(error).encode())
            except LateError:
                return await self._late(function, place.instance)
            except ExchangeError as error:
                return Answer(502, body=f"{function.name} went away: it {error}".encode())

    async def _late(self, function: Function, instance: Instance) -> Answer:
        why = f"{function.name} did not answer within {function.time_limit_s:g} s"
        if where := await stuck.ended(instance, self._http):
            why += f": {where}"
            _log.warning("%s", why)
        return Answer(504, {"Kne-Reason": why, "Kne-Failedstep": function.name}, why.encode())

    async def _post(self, url: str, headers: dict[str, str], body: bytes) -> Answer:
        async with self._http.post(url, data=body, headers=headers, allow_redirects=False) as answer:
            return Answer(answer.status, dict(answer.headers), await answer.read())
