"""What the step protocol needs of a bucket, on a folder, in memory and on S3: exactly one writer of an object wins."""

import asyncio
import errno
import os

import pytest

from eventing.errors import BadKeyError, ConfigurationError, StoreError
from eventing.store import Store
from eventing.testing.shelf import Shelf


@pytest.fixture(params=["folder", "memory", "s3", "pretended", "shelf"])
def store(request, tmp_path, monkeypatch):
    if request.param in ("s3", "pretended"):
        for name, value in request.getfixturevalue(request.param).items():
            monkeypatch.setenv(name, value)
        return Store.open("s3://torpor")
    if request.param == "shelf":
        return Shelf()
    return Store.open("memory:///" if request.param == "memory" else (tmp_path / "bucket").as_uri())


async def test_exactly_one_of_many_writers_wins_and_its_object_stays(store):
    for n in range(2):
        key = f"requests/{os.getpid()}/{n}/result.json"
        won = await asyncio.gather(*(store.create(key, f"writer {w}".encode(), "text/plain") for w in range(8)))
        assert won.count(True) == 1
        assert await store.get(key) == f"writer {won.index(True)}".encode()


async def test_a_marker_is_put_once_beside_its_object_and_changes_neither(store):
    key = f"marked/{os.getpid()}"
    await store.create(f"{key}.result.json", b"[1]")
    assert await store.get(f"{key}.published.json") is None
    for _ in range(2):
        await asyncio.gather(*(store.mark(f"{key}.published.json", f"{key}.result.json") for _ in range(4)))
    assert await store.get(f"{key}.published.json") is not None
    assert await store.get(f"{key}.result.json") == b"[1]"
    await store.delete(f"{key}.result.json")
    assert await store.get(f"{key}.published.json") is not None


async def test_what_is_not_there_is_none_and_listing_is_by_folder(store):
    assert await store.get("absent") is None
    for name in ("list/b", "list/a", "list/sub/c", "lists/d"):
        await store.create(name, b"x")
    assert await store.keys("list") == ["list/a", "list/b", "list/sub/c"]
    await store.delete("list/a")
    await store.delete("list/a")
    assert await store.keys("list") == ["list/b", "list/sub/c"]


def test_a_wrong_url_is_told():
    with pytest.raises(ConfigurationError, match="TORPOR_STORE='gopher://x' cannot be opened"):
        Store.open("gopher://x")


@pytest.mark.parametrize("key", ["sources/..", "a//b", "a/\0b", "a/\ud800"])
async def test_a_key_that_no_object_can_have_is_not_asked_for_again(store, key):
    for ask in (store.keys, store.get, lambda key: store.create(key, b"")):
        with pytest.raises(BadKeyError) as caught:
            await ask(key)
        assert caught.value.status == 422


async def test_in_a_folder_an_object_is_there_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    store, staged = Store.open(tmp_path.as_uri()), f"steps/a.json#{'0' * 16}"
    (tmp_path / "steps").mkdir()
    (tmp_path / staged).write_bytes(b"half")  # left by a process that was killed
    assert await store.keys("steps") == []
    with pytest.raises(BadKeyError):
        await store.get(staged)

    def full(file, data):
        file.write(data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("eventing.folder._write", full)
        with pytest.raises(StoreError, match=r"steps/a\.json could not be written: No space left"):
            await store.create("steps/a.json", b"whole")
    assert await store.get("steps/a.json") is None
    assert await store.create("steps/a.json", b"whole")
    assert sorted(path.name for path in (tmp_path / "steps").iterdir()) == ["a.json", f"a.json#{'0' * 16}"]


async def test_a_large_object_comes_back_whole_and_a_folder_is_no_object(store):
    key, large = f"large/{os.getpid()}/object", os.urandom(1 << 20)
    assert await store.create(key, large)
    assert await store.get(key) == large
    assert await store.get(f"large/{os.getpid()}") is None
