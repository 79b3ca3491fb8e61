"""The Brokers' ingress, on a real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
import pytest_asyncio

from eventing import kafka
from eventing.envelope import from_record, to_json, to_request
from eventing.local.ingress import Ingress, serving
from eventing.local.ports import unused
from eventing.local.resources import Broker
from tests.local.support import event

BROKERS = (Broker("torpor", "taken-here", "taken_here"), Broker("torpor", "other", "other"))


async def _served(bootstrap: str, time_limit_s: float = 5.0) -> AsyncIterator[str]:
    (port,) = unused(1)
    producer = kafka.Producer(bootstrap, time_limit_s)
    async with serving(Ingress(BROKERS, producer), port):
        yield f"http://127.0.0.1:{port}"
    await producer.close()


@pytest_asyncio.fixture(scope="module")
async def ingress(kafka_bootstrap: str) -> AsyncIterator[str]:
    await asyncio.to_thread(kafka.create_topics, kafka_bootstrap, [kafka.TopicSpec("taken_here", 3)])
    async for url in _served(kafka_bootstrap):
        yield url


async def ask(url: str, body: bytes, headers: dict[str, str], method: str = "POST") -> tuple[int, str]:
    async with aiohttp.ClientSession() as http, http.request(method, url, data=body, headers=headers) as answer:
        return answer.status, await answer.text()


async def test_binary_and_structured_events_are_produced_in_binary_mode_keyed_by_partitionkey(
    ingress: str, kafka_bootstrap: str
) -> None:
    binary, structured = event(partitionkey="k1", requestid="r"), event(partitionkey="k2", data=b'{"a":1}')
    headers, body = to_request(binary)
    assert await ask(f"{ingress}/torpor/taken-here", body, headers) == (202, "")
    told = await ask(f"{ingress}/torpor/taken-here", to_json(structured), {"content-type": "application/cloudevents+json"})
    assert told == (202, "")
    records = await asyncio.to_thread(kafka.read, kafka_bootstrap, ["taken_here"])
    assert [r.key for r in records] == [b"k1", b"k2"]
    assert dict(records[0].headers)["ce_requestid"] == b"r"
    assert [from_record(r.headers, r.key, r.value) for r in records] == [binary, structured]


async def test_what_is_no_cloudevent_gets_400_and_the_reason(ingress: str) -> None:
    url = f"{ingress}/torpor/taken-here"
    status, text = await ask(url, b"{}", {"content-type": "application/json"})
    assert (status, "ce-specversion" in text) == (400, True)
    headers, body = to_request(event())
    del headers["ce-id"]
    assert (await ask(url, body, headers))[0] == 400
    assert (await ask(url, b"{", {"content-type": "application/cloudevents+json"}))[0] == 400
    assert (await ask(url, b"[]", {"content-type": "application/cloudevents-batch+json"}))[0] == 400


async def test_whoever_waits_for_kafka_when_the_platform_stops_is_told_so(caplog: pytest.LogCaptureFixture) -> None:
    port, nobody = unused(2)
    producer = kafka.Producer(f"127.0.0.1:{nobody}", 3.0)
    headers, body = to_request(event())
    async with serving(Ingress(BROKERS, producer), port):
        asking = asyncio.create_task(ask(f"http://127.0.0.1:{port}/torpor/taken-here", body, headers))
        await asyncio.sleep(0.3)
    status, text = await asking
    assert (status, "the platform stops" in text) == (503, True)
    assert not [record for record in caplog.records if record.exc_info]
    await producer.close()


async def test_an_unknown_broker_gets_404_and_those_that_exist(ingress: str) -> None:
    headers, body = to_request(event())
    status, text = await ask(f"{ingress}/torpor/nope", body, headers)
    assert status == 404
    assert "/torpor/other, /torpor/taken-here" in text


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("broker", ["other", "nope"])
async def test_another_method_gets_405_whether_there_is_such_a_broker_or_not(ingress: str, method: str, broker: str) -> None:
    assert (await ask(f"{ingress}/torpor/{broker}", b"", {}, method))[0] == 405


@pytest.mark.parametrize("size", [1_048_577, 1_048_570])  # of the second the body fits, the record with its headers does not
async def test_more_than_a_mebibyte_gets_503_as_whatever_kafka_does_not_take(ingress: str, size: int) -> None:
    headers, body = to_request(event(data=b"x" * size))
    status, text = await ask(f"{ingress}/torpor/taken-here", body, headers)
    assert (status, "at most 1048576 bytes; send `dataref`" in text) == (503, True)


async def test_an_event_without_partitionkey_has_no_key_and_one_without_data_no_value(
    ingress: str, kafka_bootstrap: str
) -> None:
    sent = event(data=None)
    headers, body = to_request(sent)
    assert (await ask(f"{ingress}/torpor/taken-here", body, headers))[0] == 202
    records = await asyncio.to_thread(kafka.read, kafka_bootstrap, ["taken_here"])
    (found,) = [r for r in records if dict(r.headers)["ce_id"] == sent.id.encode()]
    assert (found.key, found.value or b"") == (None, b"")


async def test_kafka_unavailable_gets_503() -> None:
    async for url in _served("127.0.0.1:9", 0.2):
        headers, body = to_request(event())
        assert (await ask(f"{url}/torpor/taken-here", body, headers))[0] == 503


@pytest.mark.parametrize("length", [b"Content-Length: 9", b"Transfer-Encoding: chunked"])
async def test_an_event_that_breaks_off_is_none(ingress: str, kafka_bootstrap: str, length: bytes) -> None:
    sent = event(data=None)
    headers, _ = to_request(sent)
    told = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", int(ingress.rpartition(":")[2]))
    begun = b"{" if length.endswith(b"9") else b"1\r\n{\r\n"
    writer.write(b"POST /torpor/taken-here HTTP/1.1\r\nHost: here\r\n" + told + length + b"\r\n\r\n" + begun)
    await writer.drain()
    await asyncio.sleep(0.1)
    writer.close()
    await writer.wait_closed()
    whole = event()
    assert (await ask(f"{ingress}/torpor/taken-here", b"{}", to_request(whole)[0]))[0] == 202
    records = await asyncio.to_thread(kafka.read, kafka_bootstrap, ["taken_here"])
    ids = {dict(record.headers)["ce_id"] for record in records}
    assert whole.id.encode() in ids and sent.id.encode() not in ids
