"""From a file's bytes to its text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

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
        try:
            told = json.loads(data)
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


def read(name: str, data: bytes) -> Reading:
    """The text of a document. PDF and HTML take a process and up to `SECONDS`: call it from a thread.

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
    return _parsed("pdf" if kind in PDF else "html", data)


def _text(data: bytes) -> str:
    encoding = next((name for bom, name in _BOMS.items() if data.startswith(bom)), "utf-8")
    if encoding != "utf-16" and b"\0" in data:
        raise UnreadableError("no text: it holds zero bytes")
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        wrong = f"byte {error.start:,} is 0x{data[error.start]:02x}"
        raise UnreadableError(f"not {encoding.upper().removesuffix('-SIG')} ({wrong}); save it as UTF-8") from None


def _parsed(kind: str, data: bytes) -> Reading:
    """What the parser says, from a process that can neither run on for ever nor take the machine's memory."""
    environ = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    command = [sys.executable, "-I", str(_PARSER), kind]
    try:
        done = subprocess.run(command, input=data, capture_output=True, timeout=SECONDS, env=environ, check=False)
        told = json.loads(done.stdout)
    except subprocess.TimeoutExpired:
        raise UnreadableError(f"reading it took longer than {SECONDS} s") from None
    except ValueError:
        raise UnreadableError("reading it took more time or memory than a document may, or its parser failed") from None
    if "unreadable" in told:
        raise UnreadableError(str(told["unreadable"]))
    return Reading(**told | {"pages": tuple(told["pages"])})
