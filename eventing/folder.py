"""A bucket that is a folder: an object is a file, there as a whole or not at all. Needs nothing that must be loaded."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from io import FileIO
from pathlib import Path

from eventing.errors import BadKeyError, StoreError
from eventing.store import Store

NEAR_BYTES = 64 * 1024  # larger objects do not keep the event loop waiting
_STAGED = re.compile(r".*#[0-9]+", re.DOTALL)  # a file that is being written, by the names that obstore gives, too
_NO_OBJECT = (FileNotFoundError, NotADirectoryError, IsADirectoryError)


class Folder(Store):
    """The store in a folder of this machine's disk."""

    def __init__(self, root: Path) -> None:
        self._root = str(root)

    async def create(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        return self._create(key, data) if len(data) <= NEAR_BYTES else await asyncio.to_thread(self._create, key, data)

    async def mark(self, key: str, of: str) -> None:
        """The marker is another name of the object: making a file would take ten times as long."""
        with _Telling(key, "written"), contextlib.suppress(FileExistsError):
            os.link(self._path(of), self._path(key))

    async def get(self, key: str) -> bytes | None:
        with _Telling(key, "read"):
            try:
                with FileIO(self._path(key)) as file:
                    near = os.fstat(file.fileno()).st_size <= NEAR_BYTES
                    return file.readall() if near else await asyncio.to_thread(file.readall)
            except _NO_OBJECT:
                return None

    async def keys(self, prefix: str) -> list[str]:
        with _Telling(prefix, "listed"):
            return await asyncio.to_thread(self._keys, self._path(prefix) if prefix else self._root)

    async def delete(self, key: str) -> None:
        with _Telling(key, "removed"), contextlib.suppress(*_NO_OBJECT):
            os.unlink(self._path(key))

    def _create(self, key: str, data: bytes) -> bool:
        path = self._path(key)
        staged = f"{path}#{int.from_bytes(os.urandom(8))}"
        with _Telling(key, "written"):
            try:
                with _new(staged) as file:
                    _write(file, data)
                os.link(staged, path)
            except FileExistsError:
                return False
            finally:
                with contextlib.suppress(OSError):
                    os.unlink(staged)
        return True

    def _keys(self, folder: str) -> list[str]:
        found = []
        for at, _, names in os.walk(folder):
            found += [os.path.relpath(os.path.join(at, name), self._root) for name in names if not _STAGED.fullmatch(name)]
        return sorted(found)

    def _path(self, key: str) -> str:
        """Where an object lies.

        Raises:
            BadKeyError: when no object can have this key.
        """
        parts = key.split("/")
        if "\0" in key or not {"", ".", ".."}.isdisjoint(parts) or _STAGED.fullmatch(parts[-1]):
            raise BadKeyError(f"{key!r} can be no key")
        return f"{self._root}/{key}"


def _write(file: FileIO, data: bytes) -> None:
    left = memoryview(data)
    while left:  # a disk that fills takes a part, and refuses the rest
        left = left[file.write(left) :]


def _new(path: str) -> FileIO:
    """A new file, in folders that are made where they are missing."""
    try:
        return FileIO(path, "x")
    except FileNotFoundError:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return FileIO(path, "x")


class _Telling:
    """Says the system's errors in this room's words."""

    def __init__(self, key: str, done: str) -> None:
        self._key, self._done = key, done

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, ValueError):  # half a surrogate pair names no file
            raise BadKeyError(f"{self._key!r} can be no key: {error}") from error
        if isinstance(error, OSError):
            if error.errno == errno.ENAMETOOLONG:
                raise BadKeyError(f"{self._key[:80]!r}... can be no key: {error.strerror}") from error
            raise StoreError(f"{self._key} could not be {self._done}: {error.strerror}") from error
