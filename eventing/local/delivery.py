"""The delivery of one event, as Eventing does it: tried, tried again with growing pauses, at last a dead letter."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import re
from dataclasses import dataclass

from eventing.envelope import STRUCTURED, Event, cleaned, from_request
from eventing.errors import EventingError, retried
from eventing.local.resources import Broker, Delivery, Sink
from eventing.local.sinks import Answer, Sinks, UnreachableError

_log = logging.getLogger(__name__)
_DEAD_LETTER_BYTES = 1024
_ERROR_HEADERS = "kne-"


@dataclass
class Counts:
    """What became of the events of one Trigger or source."""

    received: int = 0
    filtered: int = 0
    delivered: int = 0
    retries: int = 0
    retrying: int = 0  # that failed and have not come to their end
    failing: str = ""  # why the latest of those did, where no function was left to tell
    failing_request: str = ""  # whose that one was
    dead_lettered: int = 0
    dropped: int = 0
    not_events: int = 0


@dataclass(frozen=True)
class Route:
    """A Trigger's or a source's way: where to, how, and where replies go (None: replies are thrown away)."""

    name: str
    namespace: str
    sink: Sink
    delivery: Delivery
    replies: Broker | None = None


class InterruptedDeliveryError(Exception):
    """The platform stops before the delivery came to an end: the event will be delivered again."""


class _FailedError(Exception):
    def __init__(self, why: str, answer: Answer | None = None) -> None:
        self.answer = answer
        super().__init__(why)


class Courier:
    """Delivers over the ways to all sinks; once `stopping` is set it waits for no further attempt."""

    def __init__(self, sinks: Sinks, stopping: asyncio.Event) -> None:
        self._sinks = sinks
        self._stopping = stopping

    async def deliver(self, event: Event, route: Route, counts: Counts) -> None:
        """Bring the event to its end: delivered, a dead letter, or dropped.

        Raises:
            InterruptedDeliveryError: when the platform stops first.
        """
        try:
            await self._send(event, route.sink, route, counts)
            counts.delivered += 1
        except _FailedError as failure:
            await self._bury(event, route, counts, failure)

    async def _bury(self, event: Event, route: Route, counts: Counts, failure: _FailedError) -> None:
        sink = route.delivery.dead_letter
        if sink is None:
            counts.dropped += 1
            _log.error("%s: event %s dropped (no dead-letter sink): %s", route.name, event.id, failure)
            return
        try:
            await self._send(dead_letter(event, route.sink, failure.answer), sink, route, counts)
            counts.dead_lettered += 1
            _log.warning("%s: event %s is a dead letter in %s: %s", route.name, event.id, sink, failure)
        except _FailedError as error:
            counts.dropped += 1
            _log.error("%s: event %s dropped: %s; and its dead-letter sink failed: %s", route.name, event.id, failure, error)

    async def _send(self, event: Event, sink: Sink, route: Route, counts: Counts) -> None:
        answer = await self._tried(event, sink, route, counts)
        if route.replies is None:
            return
        # A reply that is malformed, or cannot be published, is a failure that is not tried again.
        try:
            reply = reply_of(answer)
            if reply is not None:
                await self._sinks.publish(route.replies, reply)
        except EventingError as error:
            raise _FailedError(f"the reply of {sink} to event {event.id}: {error}") from error

    async def _tried(self, event: Event, sink: Sink, route: Route, counts: Counts) -> Answer:
        attempt = 0
        try:
            while True:
                answer, why = None, ""
                try:
                    answer = await self._sinks.send(sink, event, route.delivery.timeout_s, route.namespace)
                    if answer.status < 300:
                        return answer
                    why = f"{sink} answered {answer.status}: {answer.body[:300].decode('utf-8', 'replace')}"
                except UnreachableError as error:
                    why = str(error)
                if attempt >= route.delivery.retry or (answer is not None and not _again(answer.status, route.delivery)):
                    raise _FailedError(why, answer)
                attempt += 1
                counts.retries += 1
                counts.retrying += attempt == 1
                counts.failing = "" if answer is not None and _told(answer) else why
                counts.failing_request = event.get("requestid")
                _log.warning("%s: event %s, retry %d of %d: %s", route.name, event.id, attempt, route.delivery.retry, why)
                await self._pause(route.delivery.backoff(attempt))
        finally:
            counts.retrying -= attempt > 0
            if not counts.retrying:
                counts.failing = ""

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        if self._stopping.is_set():
            raise InterruptedDeliveryError


def _told(answer: Answer) -> bool:
    """Whether it is a function's own error, which the request's trail tells, too."""
    return any(name.lower() == "kne-error" for name in answer.headers)


def _again(status: int, delivery: Delivery) -> bool:
    return retried(status) if delivery.retried is None else status in delivery.retried


def reply_of(answer: Answer) -> Event | None:
    """The event that a sink replied with, or None for an answer that is none and has no body.

    Raises:
        EventingError: when there is a body, and the reply is no CloudEvent.
    """
    lowered = {name.lower(): value for name, value in answer.headers.items()}
    if not answer.body and "ce-specversion" not in lowered and not lowered.get("content-type", "").startswith(STRUCTURED):
        return None
    try:
        return from_request(answer.headers, answer.body)
    except EventingError:
        if answer.body:
            raise
        return None


def dead_letter(event: Event, sink: Sink, answer: Answer | None) -> Event:
    """The event with what went wrong in its attributes; where there was no answer, only its destination."""
    event = event.having(knativeerrordest=address(sink))
    if answer is None:
        return event
    told = {"knativeerrorcode": str(answer.status)}
    for name, value in answer.headers.items():
        if name.lower().startswith(_ERROR_HEADERS) and (key := re.sub("[^a-z0-9]", "", name.lower()[len(_ERROR_HEADERS) :])):
            told[key] = cleaned(value)
    if answer.body:
        told["knativeerrordata"] = base64.b64encode(answer.body[:_DEAD_LETTER_BYTES]).decode()
    return event.having(**told)


def address(sink: Sink) -> str:
    """A sink as a URL, as it would read on a cluster."""
    if sink.function:
        return f"http://{sink.function}.local{sink.uri or '/'}"
    if sink.broker:
        return f"http://kafka-broker-ingress.local/{sink.broker.namespace}/{sink.broker.name}"
    return sink.uri
