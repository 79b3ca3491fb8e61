"""A store in memory whose every call is an effect of the process that makes it."""

from __future__ import annotations

from eventing.errors import BadKeyError
from eventing.store import Store
from eventing.testing.effects import Effect, at_once


class Shelf(Store):
    """One process's view of `objects`, which all processes share."""

    def __init__(self, objects: dict[str, bytes] | None = None, effect: Effect = at_once) -> None:
        self.objects = {} if objects is None else objects
        self._effect = effect

    async def create(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> bool:
        sound = _sound(key)
        return await self._effect(f"create {key}", lambda: self._created(sound, data))

    async def mark(self, key: str, of: str) -> None:
        sound = _sound(key)
        await self._effect(f"mark {key}", lambda: self._created(sound, b"{}"))

    async def get(self, key: str) -> bytes | None:
        sound = _sound(key)
        return await self._effect(f"get {key}", lambda: self.objects.get(sound))

    async def keys(self, prefix: str) -> list[str]:
        folder = f"{_sound(prefix)}/" if prefix else ""
        return await self._effect(f"keys {prefix}", lambda: sorted(key for key in self.objects if key.startswith(folder)))

    async def delete(self, key: str) -> None:
        sound = _sound(key)
        await self._effect(f"delete {key}", lambda: self.objects.pop(sound, None))

    def _created(self, key: str, data: bytes) -> bool:
        if key in self.objects:
            return False
        self.objects[key] = data
        return True


def _sound(key: str) -> str:
    if "\0" in key or not {"", ".", ".."}.isdisjoint(key.split("/")) or key.encode("utf-8", "ignore").decode() != key:
        raise BadKeyError(f"{key!r} can be no key")
    return key
