"""A bucket behind obstore: S3, GCS, Azure, or this process's memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import MemoryStore, from_url

from eventing.errors import BadKeyError, StoreError
from eventing.store import Store

# Whoever asks can ask again, so a store that is away is said to be, before those who wait for an answer give up.
RETRIES: Any = {"max_retries": 6, "retry_timeout": timedelta(seconds=10)}


class Bucket(Store):
    """The store over one of obstore's."""

    def __init__(self, store: Any) -> None:
        self._store = store

    @classmethod
    def at(cls, url: str, environ: Mapping[str, str]) -> Bucket:
        """The bucket at a URL.

        Raises:
            ValueError: when the URL names none.
        """
        if url.startswith("memory:"):
            return cls(MemoryStore())
        plain = environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
        options = {"client_options": {"allow_http": True}} if plain else {}
        try:
            return cls(from_url(url, retry_config=RETRIES, **cast(Any, options)))
        except BaseError as error:
            raise ValueError(_said(error)) from error

    async def create(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        attributes: Any = None if isinstance(self._store, MemoryStore) else {"Content-Type": content_type}
        try:
            await obstore.put_async(self._store, key, data, mode="create", attributes=attributes)
        except AlreadyExistsError:
            return False
        except ValueError as error:
            raise BadKeyError(f"{key!r} can be no key: {error}") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"{key} could not be written: {_said(error)}") from error
        return True

    async def mark(self, key: str, of: str) -> None:
        await self.create(key, b"{}", "application/json")

    async def get(self, key: str) -> bytes | None:
        try:
            found = await obstore.get_async(self._store, key)
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BadKeyError(f"{key!r} can be no key: {error}") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"{key} could not be read: {_said(error)}") from error

    async def keys(self, prefix: str) -> list[str]:
        try:
            chunks = [chunk async for chunk in obstore.list(self._store, prefix)]
        except ValueError as error:
            raise BadKeyError(f"{prefix!r} can be no key: {error}") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"{prefix} could not be listed: {_said(error)}") from error
        return sorted(entry["path"] for chunk in chunks for entry in chunk)

    async def delete(self, key: str) -> None:
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise StoreError(f"{key} could not be removed: {_said(error)}") from error


def _said(error: Exception) -> str:
    """What an error says, without the inside of the client that comes after it."""
    return str(error).partition("\n")[0].strip()
