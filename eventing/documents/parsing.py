"""Parses PDF and HTML documents from standard input to JSON; run as a process of its own, by its path.

It imports nothing of this project: an untrusted document meets the parser and the standard library only, in a process
forked from this one, which parses nothing itself.
"""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import logging
import os
import re
import signal
import sys
from collections import Counter
from typing import Any

MEMORY = 384 * 2**20
CPU_SECONDS = 18
MOST_PAGES = 1_000
LONGEST = 4_000_000  # characters of text
MOST_SAID = 64 * 2**20  # bytes of an answer
FEW = 20  # letters; a page with fewer is a picture, or blank
_SENTENCE_ENDS = (".", "!", "?", ":", "”", '"')
_BROKEN_WORD = re.compile(r"(\w+)[-\u2010\u00ad][ \t]*\n[ \t]*([a-z]\w*)[ \t]*")
_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_YEAR = re.compile(r"(?<!\d)(1[5-9]\d\d|20\d\d)(?!\d)")
_TITLE = re.compile(r"(?:\d+(?:\.\d+)*\.?\s+)?[A-ZÀ-Þ][^.!?;]{2,70}(?<![,:.;-])")
_MADE_BY_A_PROGRAM = re.compile(r"^(?:microsoft |untitled|.*\.(?:docx?|tex|dvi|pages|indd|odt|pdf)$)", re.IGNORECASE)
_NOT_READ = (
    "script,style,noscript,template,nav,aside,form,svg,iframe,button,select,dialog,head,[hidden],[aria-hidden=true],"
    '[style*="display:none"],[style*="display: none"],body > header,body > footer,[role=navigation],[role=banner]'
)
_HEADINGS = {"h1": "# ", "h2": "## ", "h3": "### ", "h4": "#### ", "h5": "##### ", "h6": "###### "}
_LINES = {"li", "tr", "dt", "dd"}
_BLOCKS = _LINES | _HEADINGS.keys() | {
    *("p", "div", "section", "article", "main", "body", "blockquote", "pre", "ul", "ol", "dl", "table", "figure", "header"),
    *("figcaption", "caption", "footer", "address", "details", "summary", "hr", "center", "fieldset"),
}  # fmt: skip


class Unreadable(Exception):
    """Why the document cannot be used."""


def main() -> None:
    """Answer each document with what it says, or with nothing where its parser came to grief."""
    logging.disable(logging.CRITICAL)
    import pypdf  # noqa: F401  once for all documents: it is most of what reading a small one takes
    import selectolax.lexbor  # noqa: F401

    asked, answers = sys.stdin.buffer, sys.stdout.buffer
    while kind := asked.read(1):
        said = _apart(kind, asked.read(int.from_bytes(asked.read(4))))
        answers.write(len(said).to_bytes(4) + said)
        answers.flush()


def _apart(kind: bytes, data: bytes) -> bytes:
    """What a process of its own makes of a document; of this one it has nothing but the pipe that it answers into."""
    ours, theirs = os.pipe()  # what a document does to its parser is over with it
    if not (child := os.fork()):
        try:
            _bound()
            nothing = os.open(os.devnull, os.O_RDWR)
            for handed_down in (ours, 0, 1):
                os.dup2(nothing, handed_down)
            with open(theirs, "wb") as answer:
                answer.write(json.dumps(_told(kind, data)).encode())
        finally:
            os._exit(0)
    os.close(theirs)
    with open(ours, "rb") as answer:
        said = answer.read(MOST_SAID)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return said


def _told(kind: bytes, data: bytes) -> dict[str, Any]:
    """What a document says, or why it is of no use."""
    try:
        told = pdf(data) if kind == b"p" else html(data)
        much = f"it holds more than {LONGEST // 1_000_000} million characters of text"
        return told if len(told["text"]) <= LONGEST else {"unreadable": much}
    except Unreadable as why:
        return {"unreadable": str(why)}
    except (MemoryError, RecursionError):
        return {"unreadable": "it is built so that reading it takes too much memory"}


def _bound() -> None:
    """Limit what this process may take; where the system knows no such limit, its caller's time limit remains."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def pdf(data: bytes) -> dict[str, Any]:
    """Text, pages and what the document says of itself.

    Raises:
        Unreadable: it is broken, protected by a password, too long, or a scan without text.
    """
    from pypdf import PdfReader

    if b"%PDF-" not in data[:1024]:
        raise Unreadable("no PDF that can be read: it does not begin like one, whatever its name says")
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not _opened(reader):
            raise Unreadable("protected by a password; save a copy without it")
        count = len(reader.pages)
        if count > MOST_PAGES:
            raise Unreadable(f"{count:,} pages; at most {MOST_PAGES:,} are read: split it")
        said = [page.extract_text() or "" for page in reader.pages]
        texts = ["".join(c if c == "\n" or c.isprintable() else " " for c in text) for text in said]
        about = _about(reader)
    except (Unreadable, MemoryError, RecursionError):
        raise
    except Exception as error:
        raise Unreadable(
            f"no PDF that can be read, it seems damaged or cut off ({type(error).__name__}: {str(error)[:120]})"
        ) from error
    blank = [number for number, text in enumerate(texts, 1) if sum(map(str.isalpha, text)) < FEW]
    if len(blank) == count:
        raise Unreadable(f"{_pages(count)} without text, a scan it seems; run a text recognition (OCR) on it first")
    remark = f"{len(blank)} of its {_pages(count)} have no text; scans are not read" if len(blank) > count / 4 else ""
    return {**_joined(texts), **about, "remark": remark}


def _pages(count: int) -> str:
    return f"{count:,} page" + "s" * (count != 1)


def _opened(reader: Any) -> bool:
    """Whether the empty password opens it: many are protected against changes only."""
    from pypdf.errors import DependencyError

    try:
        return bool(reader.decrypt(""))
    except DependencyError as error:
        raise Unreadable("encrypted in a way that is not read; save a copy without protection") from error


def _about(reader: Any) -> dict[str, Any]:
    told = reader.metadata
    title = str((told.title if told else "") or "").strip()
    return {
        "title": "" if _MADE_BY_A_PROGRAM.match(title) else title[:300],
        "authors": str((told.author if told else "") or "").strip()[:500],
        "year": _year(str(told.get("/CreationDate", ""))[:10].replace("D:", "")[:4]) if told else None,
    }


def _joined(texts: list[str]) -> dict[str, Any]:
    """The pages as one text, without their running heads, broken words mended; a sentence may go on to the next page."""
    again = _running(texts)
    known = {word.lower() for text in texts for word in re.findall(r"\w+(?:-\w+)*", text)}

    def mended(match: re.Match[str]) -> str:
        whole = match[1] + match[2]
        return f"{whole}\n" if whole.lower() in known else f"{match[1]}-{match[2]}\n"

    text, pages = "", []
    for page in texts:
        lines = _headed(_body(page, again))
        pages.append(len(text))
        body = _BROKEN_WORD.sub(mended, "\n".join(lines)).strip()
        text += body + ("\n\n" if body.endswith(_SENTENCE_ENDS) else "\n")
    return {"text": text, "pages": pages}


def _headed(lines: list[str]) -> list[str]:
    """Lines with their headings marked: short, begun like a title, without an end, and no list or table around them."""
    width = max(map(len, lines), default=0)
    ahead = [*lines[1:], ""][: len(lines)]
    return [
        f"\n## {line.strip()}\n"
        if len(line) < 0.6 * width and _TITLE.fullmatch(line.strip()) and len(after) > 0.6 * width
        else line
        for line, after in zip(lines, ahead, strict=True)
    ]


def _running(texts: list[str]) -> set[str]:
    """Lines that open or close most pages: heads, feet, page numbers."""
    edges = [line for text in texts for line in {_shape(text.splitlines()[number]) for number in _edges(text)}]
    return {line for line, times in Counter(edges).items() if len(texts) >= 4 and times > len(texts) / 2}


def _body(text: str, again: set[str]) -> list[str]:
    """A page's lines without those at its edges that stand on most pages."""
    lines = text.splitlines()
    edges = _edges(text)
    return [line for number, line in enumerate(lines) if not (number in edges and _shape(line) in again)]


def _edges(text: str) -> set[int]:
    """Which lines open and close a page."""
    said = [number for number, line in enumerate(text.splitlines()) if line.strip()]
    return {*said[:2], *said[-2:]}


def _shape(line: str) -> str:
    return re.sub(r"\d+", "0", " ".join(line.split()))


def html(data: bytes) -> dict[str, Any]:
    """What a reader sees of a page, its headings marked as in Markdown.

    Raises:
        Unreadable: its encoding is not the one that it declares, or it shows no text.
    """
    from selectolax.lexbor import LexborHTMLParser

    tree = LexborHTMLParser(_decoded(data))
    about = {
        "title": " ".join(title.text().split())[:300] if (title := tree.css_first("title")) else "",
        "authors": _meta(tree, "author", "citation_author", "article:author")[:500],
        "year": _year(_meta(tree, "citation_publication_date", "article:published_time", "date", "dc.date")),
    }
    for node in tree.css(_NOT_READ):
        node.decompose()
    root = tree.css_first("main") or tree.css_first("article") or tree.body
    text = _shown(root) if root else ""
    if sum(map(str.isalpha, text)) < FEW:
        raise Unreadable("it shows no text; a page that scripts fill must be saved as it is shown")
    return {"text": text, "pages": [], **about, "remark": ""}


def _decoded(data: bytes) -> str:
    """Text by byte order mark, else by what the page declares, else UTF-8."""
    boms = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
    declared = _CHARSET.search(data[:4096])
    encoding = next((name for bom, name in boms.items() if data.startswith(bom)), "")
    encoding = encoding or (declared[1].decode("ascii", "replace") if declared else "utf-8")
    try:
        return data.decode(encoding)
    except LookupError:
        raise Unreadable(f"it declares the encoding {encoding}, which is not known; save it as UTF-8") from None
    except UnicodeDecodeError as error:
        raise Unreadable(f"not {encoding.upper()} (byte {error.start:,}); save it as UTF-8") from None


def _meta(tree: Any, *names: str) -> str:
    told = (node.attributes for node in tree.css("meta"))
    named = (one for one in told if (one.get("name") or one.get("property") or "").lower() in names)
    return next((" ".join((one.get("content") or "").split()) for one in named), "")


def _year(text: str) -> int | None:
    found = _YEAR.search(text)
    return int(found[1]) if found else None


def _shown(root: Any) -> str:
    """Paragraphs apart by an empty line; list items and table rows each on a line of its own."""
    paragraphs: list[tuple[str, list[str]]] = []
    last: Any = None
    for node in root.traverse(include_text=True):
        if node.tag == "br" and paragraphs:
            paragraphs[-1][1].append("\n")
        elif node.tag in ("td", "th") and paragraphs and last is not None and last.tag == "tr":
            paragraphs[-1][1].append(" | ")
        if node.tag != "-text":
            continue
        block = _block_of(node)
        if last is None or block.mem_id != last.mem_id:
            paragraphs.append((block.tag, []))
            last = block
        paragraphs[-1][1].append(node.text(deep=False))
    return _written(paragraphs)


def _block_of(node: Any) -> Any:
    while node.parent is not None and node.tag not in _BLOCKS:
        node = node.parent
    return node


def _written(paragraphs: list[tuple[str, list[str]]]) -> str:
    text, before = "", ""
    for tag, pieces in paragraphs:
        lines = "".join(pieces).split("\n") if tag == "pre" else ["".join(pieces)]
        said = "\n".join(" ".join(line.split()) for line in lines).strip("| \n")
        if said:
            text += ("\n" if tag in _LINES and before in _LINES else "\n\n") + _HEADINGS.get(tag, "") + said
            before = tag
    return text.strip() + "\n"


if __name__ == "__main__":
    main()
