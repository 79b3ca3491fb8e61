"""What Serving plays, with real function processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import aiohttp
import psutil
import pytest

from eventing.local import environment, forkserver, instance
from eventing.local.config import Config
from eventing.local.forkserver import ForkServer, Process
from eventing.local.functions import Functions, Scaled
from eventing.local.instance import FunctionUnavailableError, Instance
from eventing.local.loading import functions_of
from eventing.local.ports import listens, unused
from eventing.local.resources import Function, Sink
from eventing.local.served import command
from eventing.local.sinks import Answer, Sinks
from tests.local.support import event, until, write_function

SLOW = """
async def handle(request):
    await asyncio.sleep(0.3)
    return JSONResponse({"pid": os.getpid(), "cold": request.headers.get("torpor-coldstart", ""),
                         "service": os.environ["K_SERVICE"], "ingress": os.environ["TORPOR_INGRESS"]})
"""


@asynccontextmanager
async def served(
    tmp_path: Path, handle: str = SLOW, idle_s: float = 0.3, concurrency: int = 2, **scale: int
) -> AsyncIterator[tuple[Scaled, Sinks]]:
    """One function `it`, and the way to it."""
    write_function(tmp_path, "it", handle, scale=scale, concurrency=concurrency)
    found = functions_of(tmp_path / "functions")
    async with aiohttp.ClientSession() as http:
        forks, start = instance.starter(Config(tmp_path, tmp_path, tmp_path / "state"), http)
        functions = Functions(found.values(), start, idle_s)
        functions.keep_min_scale()
        yield functions["it"], Sinks(functions, None, http)  # type: ignore[arg-type]
        await functions.close(1, 5)
        await asyncio.wait_for(forks.close(), 5)  # it ends by itself, with the last process
    assert functions["it"].instances == 0
    assert list((tmp_path / "state/run").glob("*.json")) == []


async def call(ways: Sinks) -> Answer:
    return await ways.send(Sink(function="it"), event(), 30)


async def test_no_process_while_idle_and_a_held_request_wakes_one(tmp_path: Path) -> None:
    async with served(tmp_path) as (scaled, ways):
        assert (scaled.state, scaled.instances) == ("asleep", 0)
        first = asyncio.create_task(call(ways))
        await until(lambda: scaled.state == "waking")
        answer = await first
        print(f"cold wake {scaled.counts.cold_start_s:.3f} s")
        assert answer.status == 200
        assert b'"cold":"true","service":"it","ingress":"http://127.0.0.1:8081/torpor"' in answer.body
        assert b'"cold":""' in (await call(ways)).body
        assert (scaled.counts.wakes, scaled.counts.starts, scaled.state) == (1, 1, "awake")
        if sys.platform == "linux":
            assert psutil.Process(scaled._serving[0].process.pid).name() == "it"
        await until(lambda: scaled.instances == 0)
        assert scaled.state == "asleep"


async def test_load_starts_more_up_to_max_scale_and_none_takes_more_than_its_concurrency(tmp_path: Path) -> None:
    async with served(tmp_path, max=2) as (scaled, ways):
        answers = [asyncio.create_task(call(ways)) for _ in range(10)]
        most = 0
        while not all(a.done() for a in answers):
            most = max(most, scaled.instances, *(i.in_flight for i in scaled._serving))
            await asyncio.sleep(0.01)
        assert {a.result().status for a in answers} == {200}
        assert most == 2
        assert (scaled.counts.wakes, scaled.counts.starts) == (1, 2)
        await until(lambda: scaled.instances == 0)


async def test_min_scale_is_kept_and_a_crashed_process_replaced(tmp_path: Path) -> None:
    async with served(tmp_path, min=1) as (scaled, ways):
        await until(lambda: scaled.state == "awake")
        assert b'"cold":""' in (await call(ways)).body
        await asyncio.sleep(0.6)
        assert scaled.instances == 1
        os.kill(scaled._serving[0].process.pid, signal.SIGKILL)
        await until(lambda: scaled.counts.crashes == 1)
        await until(lambda: scaled.state == "awake")
        assert (await call(ways)).status == 200


async def test_a_request_whose_process_is_killed_gets_502_and_the_next_a_new_process(tmp_path: Path) -> None:
    async with served(tmp_path, idle_s=5) as (scaled, ways):
        under_way = asyncio.create_task(call(ways))
        await until(lambda: bool(scaled._serving) and scaled.in_flight == 1)
        os.kill(scaled._serving[0].process.pid, signal.SIGKILL)
        answer = await under_way
        assert answer.status == 502
        assert answer.body.startswith(b"it went away")
        await until(lambda: scaled.counts.crashes == 1)
        assert (await call(ways)).status == 200
        assert (scaled.counts.crashes, scaled.counts.starts) == (1, 2)


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ('raise RuntimeError("no such setting")', b"answered GET /health/readiness with 500"),
        ('print("RuntimeError: no such setting"); os._exit(3)', b"ended with code 3 before it was ready"),
    ],
)
async def test_a_process_that_fails_at_start_gives_503_with_its_last_words_and_no_hang(
    tmp_path: Path, start: str, told: bytes
) -> None:
    async with served(tmp_path, start) as (scaled, ways):
        answers = await asyncio.gather(call(ways), call(ways), call(ways))
        assert {a.status for a in answers} == {503}
        assert told in answers[0].body
        assert b"RuntimeError: no such setting" in answers[0].body
        assert "no such setting" in (tmp_path / "state/logs/it.log").read_text()
        assert (scaled.state, scaled.in_flight) == ("asleep", 0)


async def test_a_full_disk_gives_503_and_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    begun = {child.pid for child in psutil.Process().children()}
    async with served(tmp_path) as (_, ways):
        monkeypatch.setattr(instance.processes, "record", full)
        refused = await call(ways)
        assert refused.status == 503 and b"No space left on device" in refused.body
        await until(lambda: {child.pid for child in psutil.Process().children()} == begun)
        monkeypatch.undo()
        assert (await call(ways)).status == 200


async def test_a_process_that_never_becomes_ready_gives_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "START_LIMIT_S", 0.5)
    async with served(tmp_path, "import time; time.sleep(60)") as (_, ways):
        answer = await call(ways)
        assert answer.status == 503
        assert b"did not answer GET /health/readiness" in answer.body


async def test_a_request_that_is_given_up_while_it_is_held_leaves_no_trace(tmp_path: Path) -> None:
    async with served(tmp_path) as (scaled, ways):
        given_up = asyncio.create_task(call(ways))
        await until(lambda: scaled.state == "waking")
        given_up.cancel()
        await until(lambda: scaled.state == "awake")
        assert scaled.in_flight == 0
        await until(lambda: scaled.instances == 0)


async def test_a_function_out_of_time_gets_504(tmp_path: Path) -> None:
    async with served(tmp_path) as (scaled, ways):
        scaled.function = replace(scaled.function, environ={**scaled.function.environ, "TORPOR_TIME_LIMIT_S": "1"})
        await call(ways)
        scaled.function = replace(scaled.function, environ={**scaled.function.environ, "TORPOR_TIME_LIMIT_S": "0.1"})
        assert (await call(ways)).status == 504


async def test_a_stop_drains_what_is_in_flight(tmp_path: Path) -> None:
    async with served(tmp_path, idle_s=5) as (scaled, ways):
        await call(ways)
        under_way = asyncio.create_task(call(ways))
        await until(lambda: scaled.in_flight == 1)
        await scaled.close(5, 5)
        assert (await under_way).status == 200
        with pytest.raises(FunctionUnavailableError, match="stopping"):
            async with scaled.request():
                pass


async def test_a_stop_waits_for_what_does_not_end_as_long_as_it_is_told_to(tmp_path: Path) -> None:
    async with served(tmp_path, "async def handle(request):\n    await asyncio.sleep(600)", idle_s=5) as (scaled, ways):
        under_way = asyncio.create_task(call(ways))
        await until(lambda: bool(scaled._serving) and scaled.in_flight == 1)
        await asyncio.wait_for(scaled.close(0.1, 0.5), 20)  # uvicorn's own grace is 30 s
        assert (await under_way).status == 502


async def test_a_process_ends_by_itself_a_while_after_its_platform(tmp_path: Path) -> None:
    write_function(tmp_path, "it", SLOW)
    function = functions_of(tmp_path / "functions")["it"]
    environ = environment.of_function(function, environment.of_platform(Config(tmp_path, tmp_path, tmp_path / "state")))
    (port,) = unused(1)
    left = subprocess.Popen([*command(port), "0.2"], cwd=tmp_path, env=environ, stdin=subprocess.PIPE)
    try:
        await until(lambda: listens(port))
        assert left.poll() is None
        assert left.stdin is not None
        left.stdin.close()  # as the system does for one that was killed
        assert await asyncio.to_thread(left.wait, 20) in (0, -signal.SIGTERM)
    finally:
        left.kill()


async def test_what_a_killed_platform_left_is_ended_at_the_next_start(tmp_path: Path) -> None:
    async with served(tmp_path, idle_s=60) as (scaled, ways):
        await call(ways)
        left = scaled._serving[0]
        left.stopping = True  # as if nobody watched it any more
        begun = time.monotonic()
        assert await asyncio.to_thread(instance.end_leftovers, tmp_path / "state") == [f"it.{left.port}"]
        await left.process.wait()
        assert time.monotonic() - begun < 30


@asynccontextmanager
async def forking(tmp_path: Path) -> AsyncIterator[ForkServer]:
    write_function(tmp_path, "it", SLOW)
    forks = ForkServer(tmp_path, tmp_path / "forking.log", dict(os.environ))
    yield forks
    await asyncio.wait_for(forks.close(), 5)


async def forked(forks: ForkServer, folder: Path, **environ: str) -> tuple[Process, int]:
    """A process and its port."""
    (port,) = unused(1)
    source = {"FUNCTION_SOURCE": "functions/it/main.py", "FUNCTION_TARGET": "function"}
    return await forks.fork(port, folder / "it.log", {**os.environ, **source, **environ}), port


def stem_of(process: Process) -> psutil.Process:
    parent = psutil.Process(process.pid).parent()
    assert parent is not None and parent.pid != os.getpid()
    return parent


async def test_processes_come_from_one_that_ends_with_the_last_of_them(tmp_path: Path) -> None:
    async with forking(tmp_path) as forks:
        processes = [(await forked(forks, tmp_path))[0] for _ in range(3)]
        (stem,) = {stem_of(process) for process in processes}
        for process in processes:
            assert stem.is_running()
            process.kill()
            assert await process.wait() == -signal.SIGKILL
        await until(lambda: not stem.is_running())
        again, _ = await forked(forks, tmp_path)
        assert stem_of(again) != stem
        again.kill()


async def test_what_is_renewed_loads_everything_anew(tmp_path: Path) -> None:
    async with forking(tmp_path) as forks:
        old, _ = await forked(forks, tmp_path)
        forks.renew()
        new, _ = await forked(forks, tmp_path)
        assert stem_of(old) != stem_of(new)
        old.kill()
        await old.wait()
        assert psutil.pid_exists(new.pid)
        new.kill()


async def test_where_the_first_process_is_killed_the_others_are_too_and_new_ones_come(tmp_path: Path) -> None:
    async with forking(tmp_path) as forks:
        process, port = await forked(forks, tmp_path)
        await until(lambda: listens(port))
        stem_of(process).kill()
        assert await process.wait() == -signal.SIGKILL
        await until(lambda: not listens(port))
        other, port = await forked(forks, tmp_path)
        await until(lambda: listens(port))
        other.kill()


async def test_a_process_for_which_nobody_waits_any_more_is_ended(tmp_path: Path) -> None:
    async with forking(tmp_path) as forks:
        asking = asyncio.create_task(forked(forks, tmp_path))
        await until(lambda: any("eventing.local.forking" in child.cmdline() for child in psutil.Process().children()))
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_what_never_forks_is_ended_and_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sitecustomize.py").write_text("import time; time.sleep(60)")
    monkeypatch.setattr(forkserver, "LIMIT_S", 0.5)
    forks = ForkServer(tmp_path, tmp_path / "forking.log", {**os.environ, "PYTHONPATH": str(tmp_path)})
    with pytest.raises(OSError, match="no process was forked within"):
        await forked(forks, tmp_path)
    await asyncio.wait_for(forks.close(), 5)


async def test_what_is_printed_at_the_start_is_taken_for_no_answer(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("print('hello', flush=True)")
    forks = ForkServer(tmp_path, tmp_path / "forking.log", {**os.environ, "PYTHONPATH": str(tmp_path)})
    process, _ = await forked(forks, tmp_path)
    process.kill()
    await asyncio.wait_for(forks.close(), 5)


async def test_a_variable_for_the_interpreter_is_heeded(tmp_path: Path) -> None:
    async with forking(tmp_path) as forks:
        process, port = await forked(forks, tmp_path, PYTHONOPTIMIZE="1")
        await until(lambda: listens(port))
        assert "eventing.local.served" in psutil.Process(process.pid).cmdline()
        process.terminate()
        assert await process.wait() == -signal.SIGTERM  # as uvicorn ends after all is answered


async def test_each_function_gets_its_first_process_before_others_get_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    begun, opened = list[str](), asyncio.Event()

    async def start(function: Function) -> Instance:
        begun.append(function.name)
        await opened.wait()
        raise FunctionUnavailableError(f"{function.name} is not to be had")

    async def ask(functions: Functions, name: str) -> None:
        with pytest.raises(FunctionUnavailableError):
            async with functions[name].request():
                pass

    functions = Functions([Function(name, {}, concurrency=1) for name in ("one", "other")], start, 1)
    asked = [asyncio.create_task(ask(functions, name)) for name in ["one"] * 6 + ["other"]]
    await until(lambda: "other" in begun)
    assert begun == ["one", "one", "other"]  # the second one has the one turn that there is
    opened.set()
    await asyncio.gather(*asked)
    await functions.close(1, 5)
