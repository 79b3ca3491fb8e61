"""The queue's bookkeeping under whatever comes and goes: order, memory, and nobody in the way of others."""

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.scheduler import queueing
from inference.scheduler.admission import Admission
from inference.scheduler.breaker import Breaker
from inference.scheduler.config import Limits, Pools
from inference.scheduler.errors import NotInTimeError
from inference.scheduler.queueing import Place, Queue
from inference.scheduler.servers import ModelServer
from inference.scheduler.wire import CHAT, Ask


def _ask(tenant: str = "", tokens: int = 10) -> Ask:
    return Ask(CHAT, {}, tenant=tenant, prompt_tokens=tokens)


def _servers(pools: Pools) -> dict[str, list[ModelServer]]:
    return {
        pool.name: [ModelServer(one, Breaker(one.name, 5, 30.0, lambda *_: None)) for one in pool.servers]
        for pool in pools.pools
    }


def _admission(*slots: int, fallback: bool = False, **limits: Any) -> tuple[Admission, dict[str, ModelServer]]:
    """Servers s0, s1 ... in one pool, or each in its own, which falls back to the next."""
    servers = [{"name": f"s{n}", "url": "http://s/v1", "slots": slot} for n, slot in enumerate(slots)]
    groups = [[one] for one in servers] if fallback else [servers]
    pools = Pools.model_validate(
        {
            "pools": [
                {
                    "name": f"p{n}",
                    "models": [f"m{n}"],
                    "servers": group,
                    "fallback": f"p{n + 1}" if n + 1 < len(groups) else None,
                }
                for n, group in enumerate(groups)
            ]
        }
    )
    made = _servers(pools)
    every = {one.name: one for found in made.values() for one in found}
    return Admission({pool.name: pool for pool in pools.pools}, made, Limits(**limits)), every


async def _held(admission: Admission, pool: str, until: asyncio.Event, got: list[str], name: str = "", **more: Any) -> None:
    async with admission.place(pool, more.pop("ask", _ask()), more.pop("till", None), **more) as place:
        got.append(name or place.server.name)
        await until.wait()


async def test_a_tenant_that_comes_back_has_saved_nothing_up() -> None:
    queue = Queue()
    queue.put(_ask("late"), 100.0)
    queue.take(queue.next(), granted=True)  # type: ignore[arg-type]
    for _ in range(20):
        queue.put(_ask("busy"), 100.0)
    for _ in range(10):
        queue.take(queue.next(), granted=True)  # type: ignore[arg-type]
    for _ in range(10):
        queue.put(_ask("late"), 100.0)
    order = []
    for _ in range(10):
        call = queue.next()
        assert call
        queue.take(call, granted=True)
        order.append(call.ask.tenant)
    assert order.count("busy") >= 4


async def test_tenants_that_are_gone_are_forgotten() -> None:
    queue = Queue()
    for number in range(3 * queueing.REMEMBERED):
        queue.put(_ask(f"request {number}"), 100.0)
        queue.take(queue.next(), granted=True)  # type: ignore[arg-type]
    assert queue.size <= queueing.REMEMBERED + 1


async def test_calls_that_came_and_went_behind_a_patient_one_are_forgotten() -> None:
    admission, servers = _admission(1)
    hold, got = asyncio.Event(), list[str]()
    held = [asyncio.create_task(_held(admission, "p0", hold, got, ask=_ask(f"t{n}"))) for n in range(3)]
    for round_ in range(40):
        gone = [asyncio.create_task(_held(admission, "p0", hold, got, ask=_ask(f"t{n % 9}"))) for n in range(100)]
        await asyncio.sleep(0)
        assert admission.waiting == 102, round_
        for one in gone:
            one.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
    assert admission.waiting == 2
    assert admission._queues["p0"].size < 400
    hold.set()
    await asyncio.gather(*held)
    assert len(got) == 3 and servers["s0"].outstanding == 0


async def test_a_call_that_shuns_a_server_keeps_nobody_from_it() -> None:
    admission, _ = _admission(1, 1)
    hold, got = asyncio.Event(), list[str]()
    first = asyncio.create_task(_held(admission, "p0", hold, got, "holds s1", avoid={"s0"}))
    await asyncio.sleep(0)
    shunning = asyncio.create_task(_held(admission, "p0", hold, got, "shuns s0", avoid={"s0"}))
    other = asyncio.create_task(_held(admission, "p0", hold, got, "takes s0"))
    for _ in range(5):
        await asyncio.sleep(0)
    assert got == ["holds s1", "takes s0"]
    hold.set()
    await asyncio.gather(first, shunning, other)
    assert got[2] == "shuns s0"


async def test_a_pool_that_falls_back_and_the_pool_it_falls_back_to_take_turns() -> None:
    admission, servers = _admission(1, 1, fallback=True)
    for _ in range(5):
        servers["s0"].breaker.leave(False, failed=True)
    got, done = list[str](), asyncio.Event()
    done.set()
    hold = asyncio.Event()
    first = asyncio.create_task(_held(admission, "p1", hold, []))
    await asyncio.sleep(0)
    work = [asyncio.create_task(_held(admission, "p0", done, got, "guest")) for _ in range(6)]
    work += [asyncio.create_task(_held(admission, "p1", done, got, "owner")) for _ in range(6)]
    await asyncio.sleep(0)
    hold.set()
    await asyncio.gather(first, *work)
    assert 2 <= got[:6].count("owner") <= 4


async def test_a_call_that_was_let_in_before_is_not_shut_out_by_a_full_queue() -> None:
    admission, _ = _admission(1, waiting=1)
    hold, got = asyncio.Event(), list[str]()
    work = [asyncio.create_task(_held(admission, "p0", hold, got)) for _ in range(2)]
    await asyncio.sleep(0)
    again = asyncio.create_task(_held(admission, "p0", hold, got, again=True))
    await asyncio.sleep(0)
    hold.set()
    await asyncio.gather(again, *work)
    assert len(got) == 3


async def test_a_server_that_was_slow_once_is_not_held_to_be_slow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    admission, servers = _admission(1)
    for _ in range(9):
        servers["s0"].pace.observe(10.0, 100.0, 10, 10)
    now = asyncio.get_running_loop().time()
    done, got = asyncio.Event(), list[str]()
    done.set()
    with pytest.raises(NotInTimeError):
        await _held(admission, "p0", done, got, till=now + 5)
    monkeypatch.setattr("inference.scheduler.servers.BELIEVED_S", 0.0)
    await _held(admission, "p0", done, got, till=now + 5)
    assert got == ["s0"]


async def test_a_grant_at_the_very_moment_at_which_its_caller_goes_is_given_back() -> None:
    admission, servers = _admission(1)
    hold, got = asyncio.Event(), list[str]()
    first = asyncio.create_task(_held(admission, "p0", hold, got))
    await asyncio.sleep(0)
    second = asyncio.create_task(_held(admission, "p0", hold, got))
    await asyncio.sleep(0)
    hold.set()
    while servers["s0"].granted < 2:
        await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(first, second, return_exceptions=True)
    assert servers["s0"].outstanding == 0 and admission.waiting == 0


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("come"), st.integers(0, 3), st.integers(1, 50), st.sampled_from(["", "s0", "s1"])),
        st.tuples(st.just("go"), st.integers(0, 30)),
        st.tuples(st.just("end"), st.integers(0, 30), st.sampled_from([True, False, None])),
        st.tuples(st.just("late"), st.integers(0, 3)),
        st.tuples(
            st.just("tick"),
        ),
        st.tuples(
            st.just("reset"),
        ),
    ),
    max_size=60,
)


@given(_STEPS)
@settings(deadline=None, max_examples=120)
def test_whatever_comes_and_goes_slots_and_probes_are_neither_lost_nor_doubled(steps: list) -> None:
    asyncio.run(_played(steps))


async def _played(steps: list) -> None:
    admission, servers = _admission(2, 1)
    running: list[tuple[Place, asyncio.Event, list]] = []
    tasks: list[asyncio.Task] = []

    async def call(tenant: int, tokens: int, avoid: str, till: float | None = None) -> None:
        async with admission.place("p0", _ask(str(tenant), tokens), till, {avoid} - {""}) as place:
            mine = (place, asyncio.Event(), [None])
            running.append(mine)
            failed = None
            try:
                await mine[1].wait()
                failed = mine[2][0]
            finally:
                running.remove(mine)
                place.server.breaker.leave(place.probe, failed=failed)

    loop = asyncio.get_running_loop()
    for name, *rest in steps:
        if name == "come":
            tasks.append(asyncio.create_task(call(*rest)))
        elif name == "late":
            tasks.append(asyncio.create_task(call(rest[0], 1, "", loop.time() + 0.0005)))
        elif name == "go" and tasks:
            tasks[rest[0] % len(tasks)].cancel()
        elif name == "end" and running:
            mine = running[rest[0] % len(running)]
            mine[2][0] = rest[1]
            mine[1].set()
        elif name == "reset":
            for server in servers.values():
                server.breaker._opened = -1e9
            admission.pump()
        await asyncio.sleep(0)
        for server in servers.values():
            assert 0 <= server.outstanding <= server.slots
            assert sum(place.server is server for place, *_ in running) <= server.outstanding
            assert sum(place.probe for place, *_ in running if place.server is server) <= 1
    for _ in range(300):
        for server in servers.values():
            server.breaker._opened = -1e9
        admission.pump()
        for _, end, told in list(running):
            told[0] = False
            end.set()
        if all(task.done() for task in tasks):
            break
        await asyncio.sleep(0.001)
    assert all(task.done() for task in tasks)
    assert [server.outstanding for server in servers.values()] == [0, 0] and admission.waiting == 0
    assert all(server.breaker.ready for server in servers.values())
