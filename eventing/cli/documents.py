"""A folder of documents as a collection in the bucket: content-addressed, so the same folder is the same collection."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from eventing.cli.errors import CommandError
from eventing.step import Objects

SUFFIXES = (".md", ".markdown", ".txt")
LARGEST_FILE = 5 * 1024 * 1024
MOST_FILES = 10_000


@dataclass(frozen=True)
class Collection:
    """What a folder came to; `skipped` says of each file that is not used why."""

    name: str
    files: dict[str, bytes]
    skipped: dict[str, str]


def collect(folder: Path) -> Collection:
    """Read a folder's Markdown and text files.

    Raises:
        CommandError: when it is missing or unreadable, or holds nothing that can be used.
    """
    if not folder.is_dir():
        raise CommandError(
            f"{folder} is {'no folder' if folder.exists() else 'not there'}; --sources takes a folder of .md and .txt files"
        )
    root, files, skipped = folder.resolve(), dict[str, bytes](), dict[str, str]()
    for path in _walk(root, skipped):
        name = path.relative_to(root).as_posix()
        content = _content(path, root, len(files))
        if isinstance(content, bytes):
            files[name] = content
        else:
            skipped[name] = content
    if not files:
        why = "".join(f"\n  {name}: {reason}" for name, reason in list(skipped.items())[:10])
        raise CommandError(f"{folder} holds no document that can be used ({', '.join(SUFFIXES)}){why}")
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\n{hashlib.sha256(data).hexdigest()}\n".encode())
    return Collection(digest.hexdigest()[:16], files, skipped)


def _walk(root: Path, skipped: dict[str, str]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        skipped[Path(error.filename).relative_to(root).as_posix() + "/"] = error.strerror or "cannot be read"

    try:
        os.listdir(root)
    except OSError as error:
        raise CommandError(f"{root} cannot be read: {error.strerror}") from error
    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _content(path: Path, root: Path, so_far: int) -> bytes | str:
    """A file's bytes, or the reason why it is not used."""
    if path.suffix.lower() not in SUFFIXES:
        return f"not one of {', '.join(SUFFIXES)}"
    if so_far >= MOST_FILES:
        return f"more than {MOST_FILES} files"
    try:
        if not path.resolve(strict=True).is_relative_to(root):
            return "a link that leads out of the folder"
        if not path.is_file():
            return "no regular file"
        size = path.stat().st_size
        if size > LARGEST_FILE:
            return f"{size / 2**20:,.0f} MB; at most {LARGEST_FILE // 2**20} MB are read"
        data = path.read_bytes()
    except (OSError, RuntimeError) as error:
        return getattr(error, "strerror", None) or "cannot be read"
    if b"\0" in data[:8192]:
        return "no text"
    return data if data.strip() else "empty"


async def upload(collection: Collection, objects: Objects) -> None:
    """Put a collection's files into the bucket, where they are not there yet."""
    for name, data in collection.files.items():
        await objects.create(f"sources/{collection.name}/{name}", data, "text/plain; charset=utf-8")
