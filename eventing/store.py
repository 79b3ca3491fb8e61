"""The object store: a folder, S3, GCS or Azure behind obstore. Objects are created once and never changed in place."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlparse

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, MemoryStore, from_url

from eventing.errors import BadKeyError, ConfigurationError, StoreError

NEAR_BYTES = 64 * 1024  # larger objects do not keep the event loop waiting


class Store:
    """Four verbs over one bucket; vendor errors become StoreError, or BadKeyError where no object can have such a key."""

    def __init__(self, store: Any) -> None:
        self._store = store
        # A folder has no place for a content type.
        self._typed = not isinstance(store, LocalStore | MemoryStore)
        # What lies on this machine is read and written at once: handing it to another thread would take longer.
        self._near = not self._typed

    @classmethod
    def open(cls, url: str, environ: Mapping[str, str] = os.environ) -> Store:
        """The store at a URL: `file:///folder`, `s3://bucket`, `gs://bucket`, `az://container`, `memory:///`.

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
            return cls(from_url(url, **cast(Any, options)))
        except (BaseError, ValueError, OSError) as error:
            raise ConfigurationError(f"TORPOR_STORE={url!r} cannot be opened: {error}") from error

    async def create(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        """Write an object unless it is there; whether this call wrote it."""
        attributes: Any = {"Content-Type": content_type} if self._typed else None
        try:
            if self._near and len(data) <= NEAR_BYTES:
                obstore.put(self._store, key, data, mode="create")
            else:
                await obstore.put_async(self._store, key, data, mode="create", attributes=attributes)
        except AlreadyExistsError:
            return False
        except ValueError as error:
            raise BadKeyError(f"{key!r} can be no key: {error}") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"{key} could not be written: {error}") from error
        return True

    async def mark(self, key: str, of: str) -> None:
        """Put a marker, unless it is there. In a folder it is another name of the object `of`, which costs nothing."""
        if not isinstance(self._store, LocalStore):
            await self.create(key, b"{}", "application/json")
            return
        try:
            obstore.copy(self._store, of, key, overwrite=False)
        except AlreadyExistsError:
            pass
        except (BaseError, OSError) as error:
            raise StoreError(f"{key} could not be written: {error}") from error

    async def get(self, key: str) -> bytes | None:
        """The object's content, or None when it is not there."""
        try:
            found = obstore.get(self._store, key) if self._near else await obstore.get_async(self._store, key)
            if self._near and found.meta["size"] <= NEAR_BYTES:
                return bytes(found.bytes())
            return bytes(await found.bytes_async())
        except FileNotFoundError:
            return None
        except ValueError as error:
            raise BadKeyError(f"{key!r} can be no key: {error}") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"{key} could not be read: {error}") from error

    async def keys(self, prefix: str) -> list[str]:
        """Keys below a folder-like prefix, sorted."""
        try:
            chunks = [chunk async for chunk in obstore.list(self._store, prefix)]
        except ValueError as error:
            raise BadKeyError(f"{prefix!r} can be no key: {error}") from error
        except (BaseError, OSError) as error:
            raise StoreError(f"{prefix} could not be listed: {error}") from error
        return sorted(entry["path"] for chunk in chunks for entry in chunk)

    async def delete(self, key: str) -> None:
        """Remove an object of an index; results, events and markers are never removed."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            pass
        except (BaseError, OSError) as error:
            raise StoreError(f"{key} could not be removed: {error}") from error
