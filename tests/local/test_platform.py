"""The local platform as a whole: real Kafka, real function processes, everything driven by YAML."""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import psutil
import pytest
from yarl import URL

from eventing import kafka
from eventing.envelope import from_record, to_request
from eventing.local import platform, processes
from eventing.local.config import Config
from eventing.local.errors import ManifestError
from tests.local.conftest import local_config
from tests.local.support import broker, event, service, to_broker, topic, trigger, write_function, write_manifests

FIRST = """
async def handle(request):
    import urllib.request
    body = await request.body()
    headers = {k: v for k, v in request.headers.items() if k.startswith("ce-") or k == "content-type"}
    headers |= {"ce-type": "second", "ce-cold": request.headers.get("torpor-coldstart", "false"), "ce-id": headers["ce-id"] + "x"}
    call = urllib.request.Request(os.environ["TORPOR_INGRESS"] + "/second", body, headers)
    status = await asyncio.to_thread(lambda: urllib.request.urlopen(call).status)
    return Response(status_code=204 if status == 202 else 500)
"""

GATEWAY = """
async def handle(request):
    if request.url.path == "/stream":
        async def lines():
            for n in range(3):
                yield f"data: {n}\\n\\n"
                await asyncio.sleep(0.2)
        return StreamingResponse(lines(), media_type="text/event-stream")
    body = await request.body()
    return JSONResponse({"path": request.url.path, "query": request.url.query, "bytes": len(body), "host": request.headers["host"],
                         "cold": request.headers.get("torpor-coldstart", "")}, status_code=202, headers={"Location": "/x"})
"""


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[aiohttp.ClientSession]:
    """A platform that runs, and a client."""
    stop, ready = asyncio.Event(), asyncio.Event()

    def progress(service: str, doing: str, share: float | None) -> None:
        if share == 1.0:
            ready.set()

    task = asyncio.create_task(platform.run(config, progress, stop))
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    if task.done():
        await task
    try:
        async with aiohttp.ClientSession() as http:
            yield http
    finally:
        stop.set()
        await task


def project(tmp_path: Path, bootstrap: str, unique: str) -> Config:
    """A project whose function `first` answers every event on one topic with an event on `second`."""
    root = tmp_path / "project"
    write_function(root, "first", FIRST)
    write_function(root, "gateway", GATEWAY)
    one, two = f"first_{unique}", f"second_{unique}"
    second = broker(two)
    second["metadata"]["name"] = "second"
    manifests = write_manifests(
        tmp_path / "manifests",
        *(topic(t) for t in (one, two, f"errors_{unique}")),
        broker(one),
        second,
        broker(f"errors_{unique}"),
        trigger(
            f"first-{unique}",
            one,
            service("first"),
            filters=[{"exact": {"type": "wanted"}}],
            delivery={"retry": 3, "backoffDelay": "PT0.1S", "deadLetterSink": to_broker(f"errors_{unique}")},
        ),
    )
    config = local_config(tmp_path / "state", root, manifests)
    ports = replace(config.ports, kafka=int(bootstrap.rsplit(":", 1)[1]))
    return replace(config, ports=ports, idle_seconds=0.6)


async def post(http: aiohttp.ClientSession, url: str, **attributes: str) -> int:
    headers, body = to_request(event("wanted").having(**attributes))
    async with http.post(url, headers=headers, data=body) as answer:
        return answer.status


async def ps(http: aiohttp.ClientSession, config: Config) -> dict[str, Any]:
    async with http.get(f"http://127.0.0.1:{config.ports.platform}/platform/ps") as answer:
        found: dict[str, Any] = await answer.json()
        return found


async def test_an_event_wakes_a_function_goes_on_and_the_function_falls_asleep_again(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    config = replace(project(tmp_path, kafka_bootstrap, "a"), idle_seconds=4.0)  # longer than it takes to look
    async with running(config) as http:
        assert (await ps(http, config))["functions"]["first"]["state"] == "asleep"
        sent = time.monotonic()
        assert (
            await post(http, f"http://127.0.0.1:{config.ports.platform}/torpor/first-a", requestid="r1", traceparent="00-x")
            == 202
        )
        found: list[kafka.Record] = []
        while not found and time.monotonic() < sent + 20:
            found = await asyncio.to_thread(kafka.read, kafka_bootstrap, ["second_a"])
        print(f"cold, over the first commit of the group: {time.monotonic() - sent:.2f} s")
        answer = from_record(found[0].headers, found[0].key, found[0].value)
        assert (answer.type, answer.get("requestid"), answer.get("traceparent"), answer.get("cold")) == (
            "second", "r1", "00-x", "true",
        )  # fmt: skip
        told = await ps(http, config)
        assert told["functions"]["first"] | {"cold_start_s": 0, "cold_start_total_s": 0} == {
            "state": "awake", "instances": 1, "in_flight": 0, "blocking": "", "wakes": 1, "starts": 1, "crashes": 0, "failed_starts": 0,
            "cold_start_s": 0, "cold_start_total_s": 0,
        }  # fmt: skip
        while told["functions"]["first"]["instances"] and time.monotonic() < sent + 30:
            await asyncio.sleep(0.1)
            told = await ps(http, config)
        assert (told["functions"]["first"]["state"], told["functions"]["first"]["instances"]) == ("asleep", 0)
        assert told["deliveries"]["trigger torpor/first-a"]["delivered"] == 1
        assert told["deliveries"]["trigger torpor/first-a"]["lag"] == 0
        async with http.get(f"http://127.0.0.1:{config.ports.platform}/platform/metrics") as metrics:
            assert 'torpor_function_wakes_total{function="first"} 1.0' in await metrics.text()


async def test_the_gateway_is_woken_and_its_streams_stay_streams(tmp_path: Path, kafka_bootstrap: str) -> None:
    config = project(tmp_path, kafka_bootstrap, "b")
    base = f"http://127.0.0.1:{config.ports.gateway}"
    async with running(config) as http:
        async with http.post(URL(f"{base}/research?x=1%2F2", encoded=True), data=b"z" * 2_000_000) as answer:
            assert answer.status == 202
            assert answer.headers["Location"] == "/x"
            told = await answer.json()
        assert told == {
            "path": "/research", "query": "x=1%2F2", "bytes": 2_000_000, "cold": "true",
            "host": f"127.0.0.1:{config.ports.gateway}",
        }  # fmt: skip
        arrived = []
        async with http.get(f"{base}/stream") as stream:
            async for line in stream.content:
                if line.strip():
                    arrived.append(time.monotonic())
        assert len(arrived) == 3
        assert arrived[2] - arrived[0] > 0.3


async def test_a_resource_that_cannot_be_honoured_stops_the_start(tmp_path: Path, kafka_bootstrap: str) -> None:
    config = project(tmp_path, kafka_bootstrap, "c")
    write_manifests(config.manifests, trigger("t", "nowhere", service("first")))
    with pytest.raises(ManifestError, match=r"all.yaml: Trigger torpor/t: spec.broker: no Broker 'nowhere'"):
        async with running(config):
            pass


async def test_nothing_is_left_behind(tmp_path: Path, kafka_bootstrap: str) -> None:
    config = project(tmp_path, kafka_bootstrap, "d")
    async with running(config) as http, http.get(f"http://127.0.0.1:{config.ports.gateway}/"):
        pass
    assert list((config.state / "run").glob("function.*")) == []


RUNNER = """
import asyncio, pickle, sys
from eventing.local import platform, processes
config = pickle.load(open(sys.argv[1], "rb"))
asyncio.run(platform.run(config, lambda *told: print(*told, flush=True), asyncio.Event()))
"""


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def test_after_kill_9_the_next_platform_ends_what_was_left_and_redelivers(
    tmp_path: Path, kafka_bootstrap: str
) -> None:
    config = project(tmp_path, kafka_bootstrap, "e")
    write_function(config.project, "first", "async def handle(request):\n    await asyncio.sleep(60)")
    (tmp_path / "config").write_bytes(pickle.dumps(config))
    killed = await asyncio.create_subprocess_exec(
        sys.executable, "-c", RUNNER, str(tmp_path / "config"), cwd=Path(__file__).parents[2], stdout=asyncio.subprocess.PIPE
    )
    try:
        assert killed.stdout
        while b"ready" not in await killed.stdout.readline():
            pass
        async with aiohttp.ClientSession() as http:
            sent = {str(uuid4()) for _ in range(5)}
            for id in sent:
                assert await post(http, f"http://127.0.0.1:{config.ports.platform}/torpor/first-e", id=id) == 202
            while (await ps(http, config))["functions"]["first"]["state"] != "awake":
                await asyncio.sleep(0.02)
    finally:
        killed.kill()
        await killed.wait()
    left = [s.pid for s in processes.leftovers(config.state)]
    assert left
    write_function(config.project, "first", FIRST)
    begun = time.monotonic()
    async with running(config) as http:
        found: set[str] = set()
        while len(found) < 5 and time.monotonic() < begun + 20:
            records = await asyncio.to_thread(kafka.read, kafka_bootstrap, ["second_e"])
            found = {from_record(r.headers, r.key, r.value).id for r in records}
        print(f"from start after kill -9 to the last of 5 events: {time.monotonic() - begun:.2f} s")
        assert found == {f"{id}x" for id in sent}
        while any(map(alive, left)):  # they are killed, and nobody waits for their end
            assert time.monotonic() < begun + 30
            await asyncio.sleep(0.05)
