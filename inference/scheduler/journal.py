"""The append-only journal on the scheduler's volume: every record is written before anybody is told of what it says.

One JSON line a record. What was written survives the end of the process, however it comes; once a second it is forced to the
disk, so a power failure costs a second. When the file has grown, its present state is written to a new one and the old one
goes.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import logging
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.scheduler.book import Book
from inference.scheduler.errors import ConfigurationError, JournalError

LARGEST = 64 * 1024 * 1024
SYNC_EVERY_S = 1.0
ROOM_EVERY_S, LONGEST_FULL_S = 0.2, 300.0  # how an answer that is being bought waits for room
_log = logging.getLogger(__name__)


class Journal:
    """The file, and the book that is made from it."""

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self.book = Book()
        self._folder, self._path, self._largest = folder, folder / "journal.jsonl", largest
        self._dirty = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._recover()
            self._file, self._size = self._rewritten()
        except BlockingIOError:
            raise ConfigurationError(
                f"another scheduler uses the journal {folder}: stop it, or name another folder"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"the journal's folder {folder} cannot be used: {error.strerror}") from error

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record, then take it into the book.

        Raises:
            JournalError: it could not be written; the book is as it was.
        """
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise JournalError(f"the journal cannot be written: {error.strerror}; make room on its volume") from error
        if written < len(line):
            os.ftruncate(self._file, self._size)  # a part could be read as a record that nobody believes
            raise JournalError("the journal's volume is full; make room on it")
        self._size += written
        self._dirty = True
        self.book.apply(record)

    async def write_once_there_is_room(self, record: Mapping[str, Any]) -> None:
        """Append what is bought already: while it cannot be written it is waited with, and nobody is told of it.

        Raises:
            JournalError: there was no room for long.
        """
        end = time.monotonic() + LONGEST_FULL_S
        while True:
            try:
                return self.write(record)
            except JournalError:
                if time.monotonic() > end:
                    raise
            await asyncio.sleep(ROOM_EVERY_S)

    async def keep(self) -> None:
        """Force what was written to the disk every second and compact a file that has grown, until cancelled."""
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            try:
                if self._size > self._largest:
                    self._compact()
                elif self._dirty:
                    self._dirty = False
                    await asyncio.to_thread(os.fdatasync, self._file)
            except OSError as error:
                _log.error("the journal %s: %s", self._path, error.strerror)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            os.fdatasync(self._file)
        os.close(self._file)
        os.close(self._lock)

    def _recover(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    self.book.apply(json.loads(line))
                except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
                    _log.warning("%s:%d is passed over: %s", self._path, number, error)  # the last one is torn by a kill

    def _compact(self) -> None:
        old = self._file
        self._file, self._size = self._rewritten()
        os.close(old)
        self._largest = max(self._largest, 2 * self._size)

    def _rewritten(self) -> tuple[int, int]:
        """The present state as a new file in the place of the old one; open to append, and its size."""
        fresh = self._path.with_suffix(".new")
        opened = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        try:
            with open(opened, "wb", closefd=False) as file:
                for record in self.book.records():
                    file.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
            os.fsync(opened)
            fresh.replace(self._path)
        except OSError:
            fresh.unlink(missing_ok=True)  # a full volume needs the room
            os.close(opened)
            raise
        size = os.fstat(opened).st_size
        with contextlib.suppress(OSError):  # from here on the new file is the journal, come what may
            folder = os.open(self._folder, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        return opened, size
