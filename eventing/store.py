"""The object store: a folder, or S3, GCS or Azure. Objects are created once and never changed in place."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlparse

from eventing.errors import ConfigurationError


class Store(ABC):
    """Five verbs over one bucket; what goes wrong is a StoreError, or a BadKeyError where no object can have such a key."""

    @classmethod
    def open(cls, url: str, environ: Mapping[str, str] = os.environ) -> Store:
        """The store at a URL: `file:///folder`, `s3://bucket`, `gs://bucket`, `az://container`, `memory:///`.

        Raises:
            ConfigurationError: when the URL names no store that is known.
        """
        parsed = urlparse(url)
        try:
            if parsed.scheme == "file":
                from eventing.folder import Folder

                folder = Path(unquote(parsed.path))
                folder.mkdir(parents=True, exist_ok=True)
                return Folder(folder)
            # Its client is heavy: an agent that works on a folder wakes without it.
            from eventing.bucket import Bucket

            return Bucket.at(url, environ)
        except (ValueError, OSError) as error:
            raise ConfigurationError(f"TORPOR_STORE={url!r} cannot be opened: {error}") from error

    @abstractmethod
    async def create(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        """Write an object unless it is there; whether this call wrote it."""

    @abstractmethod
    async def mark(self, key: str, of: str) -> None:
        """Put a marker beside the object `of`, unless it is there; its content means nothing."""

    @abstractmethod
    async def get(self, key: str) -> bytes | None:
        """The object's content, or None when it is not there."""

    @abstractmethod
    async def keys(self, prefix: str) -> list[str]:
        """Keys below a folder-like prefix, sorted."""

    @abstractmethod
    async def delete(self, key: str) -> None:
        """Remove an object of an index; results, events and markers are never removed."""
