"""Final answers in the result store, where they outlive the journal: created once, never changed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlparse

from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, from_url

from inference.scheduler.errors import ConfigurationError

LONGEST_PAUSE_S = 30.0
AT_ONCE = 32  # answers that are being written
RETRIES: Any = {"max_retries": 6, "retry_timeout": timedelta(seconds=10)}  # whoever asks can ask again
_log = logging.getLogger(__name__)


class ArchiveError(Exception):
    """The store gave no answer, or none that can be read."""


class Archive:
    """Answers by call key."""

    def __init__(self, store: Any) -> None:
        self._store, self._writing = store, asyncio.Semaphore(AT_ONCE)

    @classmethod
    def open(cls, url: str, environ: Mapping[str, str] = os.environ) -> Archive:
        """The archive in a store: `file:///folder`, `s3://bucket`, `gs://bucket`, `az://container`, `memory:///`.

        Raises:
            ConfigurationError: when the URL names no store that is known.
        """
        parsed = urlparse(url)
        try:
            if parsed.scheme == "memory":
                return cls(MemoryStore())
            if parsed.scheme == "file":
                folder = Path(unquote(parsed.path))
                folder.mkdir(parents=True, exist_ok=True)
                return cls(LocalStore(folder))
            plain = environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
            options = {"client_options": {"allow_http": True}} if plain else {}
            return cls(from_url(url, retry_config=RETRIES, **cast(Any, options)))
        except (BaseError, ValueError, OSError) as error:
            raise ConfigurationError(f"the store {url!r} cannot be opened: {error}") from error

    async def get(self, key: str) -> dict[str, Any] | None:
        """What is kept of a call: its `digest` and `answer`; None when nothing is.

        Raises:
            ArchiveError: the store cannot be read, so nobody knows.
        """
        try:
            found = await self._store.get_async(_place(key))
            content = json.loads(bytes(await found.bytes_async()))
        except FileNotFoundError:
            return None
        except (BaseError, OSError, ValueError, RecursionError) as error:
            raise ArchiveError(f"the answer of call {key} cannot be read from the store: {_said(error)}") from error
        if not isinstance(content, dict) or not isinstance(content.get("answer"), dict) or "digest" not in content:
            raise ArchiveError(f"what the store holds for call {key} is no answer: {_place(key)}")
        return content

    async def put(self, key: str, digest: str, answer: Mapping[str, Any]) -> None:
        """Keep an answer, however long the store is away."""
        pause = 0.5
        while True:
            try:
                async with self._writing:
                    content = json.dumps({"key": key, "digest": digest, "answer": answer}, ensure_ascii=False)
                    await self._store.put_async(_place(key), content.encode("utf-8", "replace"), mode="create")
                return
            except AlreadyExistsError:
                return
            except (BaseError, OSError) as error:
                _log.warning("the answer of call %s cannot be kept yet: %s", key, _said(error))
            await asyncio.sleep(pause)
            pause = min(LONGEST_PAUSE_S, 2 * pause)


def _place(key: str) -> str:
    """A key may hold any character, an object's name may not."""
    return f"calls/{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}.json"


def _said(error: Exception) -> str:
    """What an error says, without the inside of the client that comes after it."""
    return str(error).partition("\n")[0].strip()
