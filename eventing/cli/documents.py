"""A folder of documents as a collection in the bucket: content-addressed, so the same folder is the same collection."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from eventing.cli.errors import CommandError
from eventing.documents import ENDINGS, Parsers, Reading, UnreadableError, kept_as, largest, read, usable
from eventing.step import Objects

MOST_FILES = 10_000
Told = Callable[[str, int, int], None]  # what was done with how many of how many files
SKIPPED = ".skipped.json"  # beside a collection's documents: what was not used and why, for the report


@dataclass(frozen=True)
class Collection:
    """What a folder came to; `skipped` says of each file that is not used why."""

    name: str
    files: dict[str, bytes]
    skipped: dict[str, str]
    readings: dict[str, Reading] = field(default_factory=dict)  # of what is costly to read


def collect(folder: Path, told: Told = lambda *_: None) -> Collection:
    """Read a folder's Markdown, text, HTML and PDF files.

    Args:
        told: hears of each file that was read.

    Raises:
        CommandError: when it is missing or unreadable, or holds nothing that can be used.
    """
    if not folder.is_dir():
        raise CommandError(
            f"{folder} is {'no folder' if folder.exists() else 'not there'}; --sources takes a folder of documents"
        )
    root, skipped = folder.resolve(), dict[str, str]()
    paths = [(_named(path, root), path) for path in _walk(root, skipped)]
    found = dict(_read(paths[:MOST_FILES], root, told))
    skipped |= {name: f"more than {MOST_FILES:,} files" for name, _ in paths[MOST_FILES:]}
    skipped |= {name: content for name, content in found.items() if isinstance(content, str)}
    used = {name: content for name, content in found.items() if not isinstance(content, str)}
    files = {name: data for name, (data, _) in used.items()}
    if not files:
        why = "".join(f"\n  {name}: {reason}" for name, reason in list(skipped.items())[:10])
        raise CommandError(f"{folder} holds no document that can be used ({', '.join(ENDINGS)}){why}")
    readings = {name: reading for name, (_, reading) in used.items() if kept_as(name)}
    return Collection(_name(files, skipped), files, dict(sorted(skipped.items())), readings)


def _read(paths: list[tuple[str, Path]], root: Path, told: Told) -> Iterator[tuple[str, tuple[bytes, Reading] | str]]:
    """Each file's name with what it holds, or with the reason why it is not used."""
    with Parsers() as parsers, ThreadPoolExecutor(max(2, (os.cpu_count() or 2) - 1)) as readers:
        contents = readers.map(lambda path: _content(path[1], root, parsers), paths)
        for number, ((name, _), content) in enumerate(zip(paths, contents, strict=True), 1):
            told("read", number, len(paths))
            yield name, content


def _name(files: dict[str, bytes], skipped: dict[str, str]) -> str:
    digest = hashlib.sha256()
    for name, data in sorted(files.items()):
        digest.update(f"{name}\n{hashlib.sha256(data).hexdigest()}\n".encode())
    if skipped:
        digest.update(json.dumps(skipped, sort_keys=True).encode())
    return digest.hexdigest()[:16]


def _walk(root: Path, skipped: dict[str, str]) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        skipped[_named(Path(error.filename), root) + "/"] = error.strerror or "cannot be read"

    try:
        os.listdir(root)
    except OSError as error:
        raise CommandError(f"{root} cannot be read: {error.strerror}") from error
    for folder, folders, names in os.walk(root, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for linked in (path for path in (Path(folder) / name for name in folders) if path.is_symlink()):
            skipped[_named(linked, root) + "/"] = "a link to a folder, which is not followed"
        yield from (Path(folder) / name for name in sorted(names) if not name.startswith("."))


def _named(path: Path, root: Path) -> str:
    """A file's name within the folder, as text: bytes that are no UTF-8 are written as `\\xff`."""
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")


def _content(path: Path, root: Path, parsers: Parsers) -> tuple[bytes, Reading] | str:
    """A file's bytes and what they say, or the reason why it is not used."""
    if _named(path, root) != path.relative_to(root).as_posix():
        return "its name is not UTF-8; rename it"
    if not usable(path.name):
        return f"not one of {', '.join(ENDINGS)}"
    try:
        if not path.resolve(strict=True).is_relative_to(root):
            return "a link that leads out of the folder"
        if not path.is_file():
            return "no regular file"
        size, most = path.stat().st_size, largest(path.name)
        if size > most:
            return f"{size / 1e6:,.0f} MB; at most {most / 1e6:.0f} MB are read"
        data = path.read_bytes()
        return data, read(path.name, data, parsers)
    except UnreadableError as error:
        return str(error)
    except RuntimeError:  # so Python below 3.13 says it; later ones as an OSError
        return "a link that leads in a circle"
    except OSError as error:
        circle = error.errno == errno.ELOOP
        return "a link that leads in a circle" if circle else error.strerror or "cannot be read"


async def upload(collection: Collection, objects: Objects, told: Told = lambda *_: None) -> None:
    """Put a collection's files, what they say and what was left out into the bucket, where that is not there yet.

    What was parsed here is not parsed again by the agents, which have less time for many documents.
    """
    folder = f"sources/{collection.name}"
    for number, (name, data) in enumerate(collection.files.items(), 1):
        if name in collection.readings:
            await objects.create(f"{folder}/{kept_as(name)}", collection.readings[name].written(), "application/json")
        await objects.create(f"{folder}/{name}", data)
        told("stored", number, len(collection.files))
    if collection.skipped:
        skipped = [{"path": name, "reason": reason} for name, reason in collection.skipped.items()]
        await objects.create(f"{folder}/{SKIPPED}", json.dumps(skipped).encode(), "application/json")
