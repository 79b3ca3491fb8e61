"""The append-only journal on the scheduler's volume: every record is written before anybody is told of what it says.

One JSON line a record. What was written survives the end of the process, however it comes; once a second it is forced to the
disk, so a power failure costs a second. When the file has grown, its present state is written to a new one and the old one
goes.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.scheduler.book import Book
from inference.scheduler.errors import ConfigurationError, JournalError

LARGEST = 64 * 1024 * 1024
SYNC_EVERY_S = 1.0
_log = logging.getLogger(__name__)


class Journal:
    """The file, and the book that is made from it."""

    def __init__(self, folder: Path, largest: int = LARGEST) -> None:
        self.book = Book()
        self._folder, self._path, self._largest = folder, folder / "journal.jsonl", largest
        self._dirty = self._torn = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"another scheduler uses the journal {folder}: stop it, or name another folder"
            ) from None
        except OSError as error:
            raise ConfigurationError(f"the journal's folder {folder} cannot be used: {error.strerror}") from error
        self._recover()
        self._file, self._size = self._rewritten()

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record, then take it into the book.

        Raises:
            JournalError: it could not be written; the book is as it was.
        """
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
        line = b"\n" * self._torn + line  # so that what could be written only in part spoils nothing after it
        try:
            written = os.write(self._file, line)
        except OSError as error:
            raise JournalError(f"the journal cannot be written: {error.strerror}; make room on its volume") from error
        self._size += written
        self._dirty, self._torn = True, written < len(line)
        if self._torn:
            raise JournalError("the journal's volume is full; make room on it")
        self.book.apply(record)

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
        os.fdatasync(self._file)
        os.close(self._file)
        os.close(self._lock)

    def _recover(self) -> None:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                self.book.apply(json.loads(line))
            except (ValueError, LookupError, TypeError, AttributeError) as error:
                _log.warning("%s:%d is passed over: %s", self._path, number, error)  # the last one is torn by a kill

    def _compact(self) -> None:
        old = self._file
        self._file, self._size = self._rewritten()
        os.close(old)
        self._largest = max(self._largest, 2 * self._size)

    def _rewritten(self) -> tuple[int, int]:
        """The present state as a new file in the place of the old one; open to append, and its size."""
        fresh = self._path.with_suffix(".new")
        try:
            with fresh.open("wb") as file:
                for record in self.book.records():
                    file.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "surrogatepass") + b"\n")
                file.flush()
                os.fsync(file.fileno())
            fresh.replace(self._path)
            opened = os.open(self._path, os.O_WRONLY | os.O_APPEND)
        except OSError as error:
            raise ConfigurationError(f"the journal {self._path} cannot be written: {error.strerror}") from error
        return opened, os.fstat(opened).st_size
