"""Knowledge converges: merged in any order and however often it is the same, also while others compact it."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventing.store import Store
from eventing.testing import NOON, memory_bucket
from functions.research_assistant import keeping
from functions.research_assistant.knowledge import FRESH, Knowledge, Look, page_read, page_written, search
from functions.research_assistant.sources import Page

times = st.datetimes(datetime(2026, 1, 1), datetime(2026, 1, 2)).map(lambda t: t.replace(tzinfo=UTC).isoformat())
names = st.sampled_from("abcd")
looks = st.builds(Look, times | st.just(NOON.isoformat()), st.lists(names, max_size=3).map(tuple))
states = st.builds(Knowledge, st.frozensets(names), st.dictionaries(names, looks, max_size=4))


@given(states, states)
def test_merging_commutes(a, b):
    assert a.merged(b) == b.merged(a)


@given(states, states, states)
def test_merging_is_associative(a, b, c):
    assert a.merged(b).merged(c) == a.merged(b.merged(c))


@given(states)
def test_merging_is_idempotent_and_nothing_adds_nothing(a):
    assert a.merged(a) == a == a.merged(Knowledge()) == Knowledge().merged(a)


@given(states)
def test_what_is_written_is_read_and_the_same_is_written_the_same(a):
    assert Knowledge.read(a.written()) == a
    assert Knowledge.read(a.written()).written() == a.written()


@given(st.binary(max_size=80))
def test_what_is_no_state_is_refused(data):
    with pytest.raises(ValueError):
        Knowledge.read(data)


def look(n: int, at: datetime = NOON) -> Knowledge:
    return Knowledge(frozenset({f"page{n}"}), {search("wikipedia", ["otter", str(n)]): Look(at.isoformat(), (f"page{n}",))})


@pytest.fixture(params=["memory", "folder"])
def shared(request, tmp_path):
    return memory_bucket() if request.param == "memory" else Store.open(f"file://{tmp_path}")


async def test_many_workers_fill_it_at_once_while_others_compact(shared):
    async def work(n):
        await keeping.learn(shared, look(n))
        await keeping.knowledge(shared)

    await asyncio.gather(*(work(n) for n in range(50)))
    known = await keeping.knowledge(shared)
    assert known.pages == {f"page{n}" for n in range(50)}
    assert len(known.looks) == 50
    assert len(await shared.keys(keeping.STATE)) < keeping.MANY


@pytest.mark.parametrize("removes", [0, 5])
async def test_compaction_that_dies_on_the_way_loses_nothing(removes):
    bucket = memory_bucket()
    for n in range(keeping.MANY):
        await keeping.learn(bucket, look(n))
    whole, removed = bucket.delete, []

    async def dies(key):
        if len(removed) == removes:
            raise OSError("killed")
        removed.append(key)
        await whole(key)

    bucket.delete = dies
    with pytest.raises(OSError):
        await keeping.knowledge(bucket)
    bucket.delete = whole
    assert len((await keeping.knowledge(bucket)).looks) == keeping.MANY
    assert len(await bucket.keys(keeping.STATE)) < keeping.MANY  # enough of them would have been compacted again


async def test_a_piece_that_cannot_be_read_stays_and_disturbs_nothing():
    bucket = memory_bucket()
    await bucket.create(f"{keeping.STATE}/newer.json", b'{"form": 2}')
    for n in range(keeping.MANY):
        await keeping.learn(bucket, look(n))
    assert len((await keeping.knowledge(bucket)).looks) == keeping.MANY
    assert f"{keeping.STATE}/newer.json" in await bucket.keys(keeping.STATE)
    assert len(await bucket.keys(keeping.STATE)) == 2


def test_the_last_look_counts_for_a_while():
    known = look(1).merged(look(1, NOON + timedelta(hours=1)))
    name = search("wikipedia", ["1", "otter"])
    assert known.fresh(name, NOON).at == (NOON + timedelta(hours=1)).isoformat()
    assert known.fresh(name, NOON + FRESH + timedelta(hours=2)) is None
    assert known.akin(["otter"], 5) == ["page1"]
    assert known.akin(["beaver"], 5) == []


async def test_a_page_is_kept_once_and_comes_back_as_it_was():
    bucket, page = memory_bucket(), Page("https://a.example", "T", "text", "A", 2020, (0, 3), "half")
    assert await keeping.put(bucket, page) == await keeping.put(bucket, page)
    assert await keeping.pages(bucket, [await keeping.put(bucket, page), "missing"]) == [page]
    assert page_read(page_written(page)) == page
