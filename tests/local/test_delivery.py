"""One delivery, as Eventing makes it: what is tried again, what becomes a dead letter, what is dropped."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from eventing import kafka
from eventing.envelope import Event, from_record, to_json, to_request
from eventing.errors import retried
from eventing.local.delivery import Counts, Courier, InterruptedDeliveryError, Route
from eventing.local.resources import Broker, Delivery, Sink
from eventing.local.sinks import Sinks
from tests.local.subscriber import Subscriber, sinks, subscribing
from tests.local.support import event, until

LETTERS = Broker("torpor", "letters", "letters")
REPLIES = Broker("torpor", "replies", "replies")


@pytest_asyncio.fixture(scope="module")
async def ways(kafka_bootstrap: str) -> AsyncIterator[Sinks]:
    await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [kafka.TopicSpec("letters"), kafka.TopicSpec("replies")])
    async with sinks(kafka_bootstrap) as found:
        yield found


@pytest_asyncio.fixture
async def subscriber() -> AsyncIterator[Subscriber]:
    async with subscribing() as found:
        yield found


async def deliver(ways: Sinks, subscriber: Subscriber, sent: Event, **delivery: Any) -> Counts:
    counts = Counts()
    standard: dict[str, Any] = {
        "retry": 2,
        "delay_s": 0.02,
        "linear": True,
        "timeout_s": 2,
        "dead_letter": Sink(broker=LETTERS),
    }
    how = Delivery(**standard | delivery)
    route = Route("trigger torpor/t", "torpor", Sink(uri=subscriber.url), how, REPLIES)
    await Courier(ways, asyncio.Event()).deliver(sent, route, counts)
    return counts


async def events_in(bootstrap: str, topic: str, id: str) -> list[Event]:
    records = await asyncio.to_thread(kafka.read, bootstrap, [topic])
    found = [from_record(r.headers, r.key, r.value) for r in records]
    return [e for e in found if e.id == id]


async def test_an_event_is_sent_in_binary_mode_with_all_its_extensions(ways: Sinks, subscriber: Subscriber) -> None:
    sent = event(requestid="r", part="2", traceparent="00-ab", subject="grün & 100%", data=b'{"a": 1}', odd="ü")
    counts = await deliver(ways, subscriber, sent)
    assert (counts.delivered, counts.retries) == (1, 0)
    assert subscriber.events == [sent]
    assert subscriber.headers[0]["Content-Type"] == "application/json"
    assert (subscriber.headers[0]["Prefer"], subscriber.headers[0]["Kn-Namespace"]) == ("reply", "torpor")


def test_only_these_codes_are_tried_again() -> None:
    assert [s for s in range(200, 600) if retried(s)] == [404, 408, 409, 429, *range(500, 600)]


async def test_a_failure_is_tried_again_with_growing_pauses(ways: Sinks, subscriber: Subscriber) -> None:
    attempts: list[int] = []

    class Noted(Delivery):
        def backoff(self, attempt: int) -> float:
            attempts.append(attempt)
            assert counts.retrying == 1
            assert counts.failing == f"{subscriber.url} answered {(503, 429)[attempt - 1]}: not now"
            return 0

    answers = iter([503, 429, 204])
    subscriber.answer = lambda _: web.Response(status=next(answers), text="not now")
    counts = Counts()
    await Courier(ways, asyncio.Event()).deliver(event(), Route("t", "n", Sink(uri=subscriber.url), Noted(retry=2)), counts)
    assert (counts.delivered, counts.retries, counts.retrying, counts.dead_lettered) == (1, 2, 0, 0)
    assert attempts == [1, 2] and counts.failing == ""


async def test_retry_after_is_not_honoured(ways: Sinks, subscriber: Subscriber) -> None:
    answers = iter([429, 503, 204])
    subscriber.answer = lambda _: web.Response(status=next(answers), headers={"Retry-After": "86400"})
    counts = await deliver(ways, subscriber, event())
    assert (counts.delivered, counts.retries) == (1, 2)


async def test_a_dead_letter_sink_is_tried_as_often_as_the_subscriber_and_its_reply_is_published(
    ways: Sinks, subscriber: Subscriber, kafka_bootstrap: str
) -> None:
    subscriber.answer = lambda _: web.Response(status=400)
    headers, body = to_request(event("buried", id=(sent := event()).id))
    answers = iter([web.Response(status=503), web.Response(status=429), web.Response(headers=headers, body=body)])
    async with subscribing() as letters:
        letters.answer = lambda _: next(answers)
        counts = await deliver(ways, subscriber, sent, dead_letter=Sink(uri=letters.url))
    assert (len(subscriber.events), len(letters.events), counts.retries, counts.dead_lettered) == (1, 3, 2, 1)
    assert {letter.get("knativeerrorcode") for letter in letters.events} == {"400"}
    assert [e.type for e in await events_in(kafka_bootstrap, "replies", sent.id)] == ["buried"]


async def test_a_dead_letter_that_is_too_large_for_its_broker_is_tried_again_and_then_dropped(
    ways: Sinks, subscriber: Subscriber
) -> None:
    subscriber.answer = lambda _: web.Response(status=400)
    counts = await deliver(ways, subscriber, event(data=b"x" * 1_048_500))
    assert (counts.retries, counts.dead_lettered, counts.dropped) == (2, 0, 1)


async def test_a_reply_that_cannot_be_published_is_a_dead_letter_without_a_retry(
    ways: Sinks, subscriber: Subscriber
) -> None:
    headers, body = to_request(event("answered", data=b"x" * 1_048_570))
    subscriber.answer = lambda _: web.Response(headers=headers, body=body)
    counts = await deliver(ways, subscriber, event())
    assert (counts.delivered, counts.retries, counts.dead_lettered) == (0, 0, 1)


async def test_an_answer_without_a_body_is_no_reply_whatever_its_headers_say(ways: Sinks, subscriber: Subscriber) -> None:
    subscriber.answer = lambda _: web.Response(status=200, headers={"ce-specversion": "1.0", "ce-id": "half"})
    counts = await deliver(ways, subscriber, event())
    assert (counts.delivered, counts.dead_lettered) == (1, 0)


async def test_422_is_not_tried_again_and_becomes_a_dead_letter_that_says_why(
    ways: Sinks, subscriber: Subscriber, kafka_bootstrap: str
) -> None:
    headers = {"Kne-Failedstep": "validate", "kne-reason": "contract broken"}
    subscriber.answer = lambda _: web.Response(status=422, body=b"x" * 3000, headers=headers)
    sent = event(requestid="r", partitionkey="key")
    counts = await deliver(ways, subscriber, sent)
    assert (counts.retries, counts.dead_lettered, counts.dropped) == (0, 1, 0)
    (letter,) = await events_in(kafka_bootstrap, "letters", sent.id)
    assert letter.data == sent.data
    told = {k: v for k, v in letter.attributes.items() if k not in sent.attributes}
    assert told == {
        "knativeerrordest": subscriber.url,
        "knativeerrorcode": "422",
        "knativeerrordata": base64.b64encode(b"x" * 1024).decode(),
        "failedstep": "validate",
        "reason": "contract broken",
    }


async def test_retries_used_up_end_in_a_dead_letter_with_the_last_answer(
    ways: Sinks, subscriber: Subscriber, kafka_bootstrap: str
) -> None:
    subscriber.answer = lambda _: web.Response(status=503)
    sent = event()
    counts = await deliver(ways, subscriber, sent)
    assert (len(subscriber.events), counts.retries, counts.dead_lettered) == (3, 2, 1)
    (letter,) = await events_in(kafka_bootstrap, "letters", sent.id)
    assert (letter.get("knativeerrorcode"), letter.get("knativeerrordata", "none")) == ("503", "none")


async def test_no_answer_in_time_is_tried_again(ways: Sinks, subscriber: Subscriber, kafka_bootstrap: str) -> None:
    async def slow(_: Event) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    subscriber.answer = slow
    sent = event()
    counts = await deliver(ways, subscriber, sent, timeout_s=0.15, retry=1)
    assert (len(subscriber.events), counts.retries, counts.dead_lettered) == (2, 1, 1)
    (letter,) = await events_in(kafka_bootstrap, "letters", sent.id)
    assert (letter.get("knativeerrordest"), letter.get("knativeerrorcode", "none")) == (subscriber.url, "none")


async def test_nobody_listening_is_tried_again(ways: Sinks) -> None:
    counts = await deliver(ways, Subscriber(url="http://127.0.0.1:9/"), event())
    assert (counts.retries, counts.dead_lettered) == (2, 1)


async def test_a_reply_that_is_a_cloudevent_is_published_to_the_brokers_topic(
    ways: Sinks, subscriber: Subscriber, kafka_bootstrap: str
) -> None:
    binary, structured = event("answered", partitionkey="k", extra="e"), event("answered", data=b'{"s":1}')
    headers, body = to_request(binary)
    subscriber.answer = lambda _: web.Response(body=body, headers=headers)
    assert (await deliver(ways, subscriber, event())).delivered == 1
    subscriber.answer = lambda _: web.Response(body=to_json(structured), content_type="application/cloudevents+json")
    assert (await deliver(ways, subscriber, event())).delivered == 1
    assert await events_in(kafka_bootstrap, "replies", binary.id) == [binary]
    (found,) = await events_in(kafka_bootstrap, "replies", structured.id)
    assert found.data == b'{"s":1}'


async def test_a_reply_that_is_no_cloudevent_fails_the_delivery_without_a_retry(
    ways: Sinks, subscriber: Subscriber, kafka_bootstrap: str
) -> None:
    subscriber.answer = lambda _: web.Response(text="OK")
    sent = event()
    counts = await deliver(ways, subscriber, sent)
    assert (counts.delivered, counts.retries, counts.dead_lettered) == (0, 0, 1)
    (letter,) = await events_in(kafka_bootstrap, "letters", sent.id)
    assert [n for n in letter.attributes if n.startswith("knative")] == ["knativeerrordest"]


async def test_a_source_throws_replies_away(ways: Sinks, subscriber: Subscriber) -> None:
    subscriber.answer = lambda _: web.Response(text="OK")
    counts = Counts()
    await Courier(ways, asyncio.Event()).deliver(event(), Route("s", "n", Sink(uri=subscriber.url), Delivery()), counts)
    assert (counts.delivered, counts.dead_lettered) == (1, 0)


async def test_a_redirect_is_a_failure(ways: Sinks, subscriber: Subscriber) -> None:
    subscriber.answer = lambda _: web.Response(status=302, headers={"Location": "/elsewhere"})
    counts = await deliver(ways, subscriber, event())
    assert (counts.retries, counts.dead_lettered) == (0, 1)


@pytest.mark.parametrize("letters", [None, Sink(uri="http://127.0.0.1:9/"), Sink(broker=Broker("n", "b", "letters"))])
async def test_without_a_dead_letter_sink_that_takes_it_the_event_is_dropped_and_counted(
    ways: Sinks, subscriber: Subscriber, letters: Sink | None
) -> None:
    subscriber.answer = lambda _: web.Response(status=400)
    data = b"x" * 1_048_500 if letters and letters.broker else b"{}"  # with the error it is too large for a topic
    counts = await deliver(ways, subscriber, event(data=data), dead_letter=letters, retry=0)
    assert (counts.dropped, counts.dead_lettered, counts.delivered) == (1, 0, 0)


async def test_a_stopping_platform_waits_for_no_further_attempt(ways: Sinks, subscriber: Subscriber) -> None:
    subscriber.answer = lambda _: web.Response(status=503)
    stopping, counts = asyncio.Event(), Counts()
    route = Route("t", "n", Sink(uri=subscriber.url), Delivery(retry=3, delay_s=60, linear=True))
    task = asyncio.create_task(Courier(ways, stopping).deliver(event(), route, counts))
    await until(lambda: counts.retries == 1)
    stopping.set()
    with pytest.raises(InterruptedDeliveryError):
        await task
    assert (counts.delivered, counts.dropped) == (0, 0)
