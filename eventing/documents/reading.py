"""From a file's bytes to its text."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import sys
import threading
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

TEXT, HTML, PDF = (".md", ".markdown", ".txt"), (".html", ".htm"), (".pdf",)
ENDINGS = TEXT + HTML + PDF
LARGEST = 4_000_000  # bytes of text or HTML; what is larger is no note that a person wrote
LARGEST_PDF = 20_000_000
KEPT = ".read"  # a folder in a collection, of what was read from PDF and HTML, so that it is parsed once
FORM = 1  # of what is read; counted up when the same bytes come to be read differently
SECONDS = 20  # that parsing one document may take
_PARSER = Path(__file__).with_name("parsing.py")
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "SYSTEMROOT")  # the parser sees no secret


class UnreadableError(ValueError):
    """A document cannot be used; the message says why, for whoever put it there."""


@dataclass(frozen=True)
class Reading:
    """A document's text; `pages` are the places where its pages begin, `remark` what is missing from it."""

    text: str
    pages: tuple[int, ...] = ()
    title: str = ""
    authors: str = ""
    year: int | None = None
    remark: str = ""

    def written(self) -> bytes:
        """This reading as JSON, to be kept."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def kept(cls, data: bytes) -> Reading:
        """The reading in what `written` wrote.

        Raises:
            ValueError: it is something else.
        """
        return cls.of(json.loads(data))

    @classmethod
    def of(cls, told: Any) -> Reading:
        """The reading in what JSON said.

        Raises:
            ValueError: it is something else.
        """
        try:
            return cls(**told | {"text": str(told["text"]), "pages": tuple(map(int, told["pages"]))})
        except (TypeError, KeyError) as error:
            raise ValueError(f"no reading: {error}") from error


def kept_as(name: str) -> str:
    """Where in its collection the reading of a document is kept; empty where reading it anew costs nothing."""
    return "" if name.lower().endswith(TEXT) else f"{KEPT}/{FORM}/{name}.json"


def usable(name: str) -> bool:
    """Whether a file of this name is of a kind that is read."""
    return PurePosixPath(name).suffix.lower() in ENDINGS


def largest(name: str) -> int:
    """How many bytes a file of this name may have."""
    return LARGEST_PDF if PurePosixPath(name).suffix.lower() in PDF else LARGEST


def read(name: str, data: bytes, parsers: Parsers | None = None) -> Reading:
    """The text of a document. PDF and HTML take a process and up to `SECONDS`: call it from a thread.

    Args:
        parsers: those that are at hand where more than one document is read; else one is started for this one.

    Raises:
        UnreadableError: saying what is wrong with it.
    """
    kind = PurePosixPath(name).suffix.lower()
    if kind not in ENDINGS:
        raise UnreadableError(f"not one of {', '.join(ENDINGS)}")
    if len(data) > largest(name):
        raise UnreadableError(f"{len(data) / 1e6:,.0f} MB; at most {largest(name) / 1e6:.0f} MB are read")
    if not data.strip():
        raise UnreadableError("empty")
    if kind in TEXT:
        return Reading(_text(data))
    with nullcontext(parsers) if parsers else Parsers() as at_hand:
        return at_hand.parsed(b"p" if kind in PDF else b"h", data)


def _text(data: bytes) -> str:
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    if encoding != "utf-16" and b"\0" in data:
        raise UnreadableError("no text: it holds zero bytes")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start:,} is 0x{data[error.start]:02x}"
        raise UnreadableError(f"not {encoding.upper().removesuffix('-SIG')} ({wrong}); save it as UTF-8") from None


class Parsers:
    """Processes that parse documents in turn, each document in a fork of its own; as many as threads ask at once.

    Starting one takes longer than parsing a small document. One in which a document came to grief is ended with it.
    """

    def __init__(self) -> None:
        self._idle: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Parsers:
        return self

    def __exit__(self, *_: object) -> None:
        while self._idle:
            _ended(self._idle.pop())

    def parsed(self, kind: bytes, data: bytes) -> Reading:
        """What the parser says, from a process that can neither run on for ever nor take the machine's memory.

        Raises:
            UnreadableError: saying what is wrong with the document.
        """
        process, over = self._free(), threading.Event()

        def end() -> None:
            over.set()
            _killed(process)

        late = threading.Timer(SECONDS, end)
        late.start()
        try:
            said = _answered(process, kind, data)
        except OSError:  # it has ended
            said = b""
        finally:
            late.cancel()
            late.join()
        if not said or over.is_set():
            _ended(process)
        else:
            self._idle.append(process)
        if over.is_set():
            raise UnreadableError(f"reading it took longer than {SECONDS} s")
        return _understood(said)

    def _free(self) -> subprocess.Popen[bytes]:
        with suppress(IndexError):
            return self._idle.pop()
        environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        return subprocess.Popen(
            [sys.executable, "-I", str(_PARSER)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environ,
            start_new_session=True,  # so that it is ended with what it forked
        )


def _understood(said: bytes) -> Reading:
    try:
        told = json.loads(said)
        why = told.get("unreadable")
        reading = None if why else Reading.of(told)
    except (ValueError, AttributeError):
        raise UnreadableError("reading it took more time or memory than a document may, or its parser failed") from None
    if reading is None:
        raise UnreadableError(str(why))
    return reading


def _answered(process: subprocess.Popen[bytes], kind: bytes, data: bytes) -> bytes:
    assert process.stdin and process.stdout  # both are pipes
    process.stdin.write(struct.pack(">cI", kind, len(data)) + data)
    process.stdin.flush()
    head = process.stdout.read(4)
    return process.stdout.read(int.from_bytes(head)) if len(head) == 4 else b""


def _killed(process: subprocess.Popen[bytes]) -> None:
    """End a process and what it forked."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _ended(process: subprocess.Popen[bytes]) -> None:
    _killed(process)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        with suppress(OSError):  # what could not be written before it ended
            pipe.close()  # type: ignore[union-attr]
