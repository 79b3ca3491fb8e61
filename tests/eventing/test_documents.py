"""Markdown, text, HTML and PDF become text; what cannot be read is said, in time, whatever it is."""

import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from eventing.cli import platform
from eventing.cli.documents import collect, upload
from eventing.documents import Parsers, Reading, UnreadableError, kept_as, read, reading
from eventing.local.config import Config
from eventing.testing import memory_bucket

PARAGRAPH = "The otter cipher has a public key of 1184 bytes."


def pdf(*pages: str, title: str = "", password: str | None = None) -> bytes:
    """A PDF with these pages; a line break in a page is one on paper."""
    writer = PdfWriter()
    font = DictionaryObject({NameObject("/Type"): NameObject("/Font"), NameObject("/Subtype"): NameObject("/Type1")})
    font[NameObject("/BaseFont")] = NameObject("/Helvetica")
    for text in pages:
        page = writer.add_blank_page(400, 400)
        shown = " T* ".join(f"({line.translate(str.maketrans({'(': None, ')': None}))}) Tj" for line in text.split("\n"))
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 14 TL 20 350 Td {shown} ET".encode("latin-1") if text else b"")
        page[NameObject("/Contents")] = writer._add_object(stream)
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
    if title:
        writer.add_metadata({"/Title": title, "/Author": "Ada Otter", "/CreationDate": "D:20240501"})
    if password is not None:
        writer.encrypt(password, "owner", algorithm="RC4-128")
    made = io.BytesIO()
    writer.write(made)
    return made.getvalue()


def refused(name: str, data: bytes) -> str:
    with pytest.raises(UnreadableError) as why:
        read(name, data)
    return str(why.value)


def test_a_pdf_keeps_its_pages_and_what_it_says_of_itself():
    found = read(
        "a.pdf", pdf(PARAGRAPH, "It was pub-\nlished by post-\nquantum people", "and is published still.", title="Otters")
    )
    assert (found.title, found.authors, found.year, len(found.pages)) == ("Otters", "Ada Otter", 2024, 3)
    assert found.text[found.pages[1] :].startswith("It was published\nby post-quantum\npeople\nand is")
    assert found.text[found.pages[2] :].startswith("and is")
    assert found.text[: found.pages[1]] == PARAGRAPH + "\n\n"


def test_running_heads_and_page_numbers_are_left_out():
    pages = [f"Journal of Otters\n{PARAGRAPH} Here is page number {'abcde'[n]} of them.\n{n}" for n in range(5)]
    text = read("a.pdf", pdf(*pages)).text
    assert "Journal" not in text
    assert text.count(PARAGRAPH) == 5
    assert not any(line.strip().isdigit() for line in text.splitlines())


def test_a_line_within_a_page_is_no_running_head():
    page = "\n".join(["Head"] + ["The same line stands here as well."] * 6)
    assert read("a.pdf", pdf(*[page] * 5)).text.count("The same line") == 5 * 3


def test_a_heading_is_marked_and_does_not_run_into_the_text():
    long = "A first line that goes on for long enough to be one of a text,"
    assert (
        read("a.pdf", pdf(f"2.1 Keys of the otter\n{long}\nand ends.")).text
        == f"## 2.1 Keys of the otter\n\n{long}\nand ends.\n\n"
    )
    assert "##" not in read("a.pdf", pdf(f"{long}\nNo heading\nShort\nLines")).text


def test_names_that_programs_give_are_no_titles():
    assert read("a.pdf", pdf(PARAGRAPH, title="Microsoft Word - draft.docx")).title == ""


def test_a_pdf_protected_against_changes_only_is_read():
    assert PARAGRAPH in read("a.pdf", pdf(PARAGRAPH, password="")).text


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.pdf", pdf(PARAGRAPH, password="secret"), "protected by a password"),
        ("a.pdf", pdf("", "", ""), "3 pages without text, a scan it seems"),
        ("a.pdf", pdf(PARAGRAPH)[:200], "no PDF that can be read"),
        ("a.PDF", b"%PDF-1.7 " + b"<<" * 5_000, "no PDF that can be read"),
        ("a.pdf", b"x" * 20_000_001, "20 MB; at most 20 MB are read"),
        ("a.txt", b"x" * 5_000_000, "5 MB; at most 4 MB are read"),
        ("a.txt", "Café".encode("latin-1"), "not UTF-8 (byte 3 is 0xe9); save it as UTF-8"),
        ("a.md", b"otter\0cipher", "no text: it holds zero bytes"),
        ("a.md", b" \n", "empty"),
        ("a.docx", b"PK", "not one of .md, .markdown, .txt, .html, .htm, .pdf"),
        ("a.html", b"<p>Caf\xe9 and more text that is shown to people", "not UTF-8 (byte 6); save it as UTF-8"),
        ("a.html", b'<meta charset="klingon"><p>some text', "the encoding klingon, which is not known"),
        ("a.html", b"<body><script>fill()</script></body>", "it shows no text"),
    ],
)
def test_what_cannot_be_read_is_said(name, data, told):
    assert told in refused(name, data)


def test_a_pdf_of_which_much_is_scanned_says_so():
    assert read("a.pdf", pdf(PARAGRAPH, "", "")).remark == "2 of its 3 pages have no text; scans are not read"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_with_a_byte_order_mark_is_read(encoding):
    assert read("a.txt", "Café olé".encode(encoding)) == Reading("Café olé")


def test_html_is_what_a_reader_sees():
    page = """<!doctype html><title>Otter
      keys</title><meta charset="iso-8859-1"><meta name=author content="Ada Otter"><meta name=date content=2024-05-01>
      <body><header>Site</header><nav>Home</nav><main><h2>Keys</h2>Loose <b>text</b>, caf\xe9.<p>First<br>line &amp; more.</p>
      <ul><li>One</li><li>Two <a href=x>items</a></li></ul><table><tr><th>Name<th>Size<tr><td>A<td>12</table>
      <p hidden>secret</p><p style="display:none">orders</p><script>alert(1)</script></main><footer>(c)</footer>"""
    found = read("a.html", page.encode("latin-1"))
    assert found.text == ("## Keys\n\nLoose text, café.\n\nFirst line & more.\n\nOne\nTwo items\nName | Size\nA | 12\n")
    assert (found.title, found.authors, found.year) == ("Otter keys", "Ada Otter", 2024)


@pytest.mark.parametrize(
    ("program", "told"),
    [
        ("import time; time.sleep(60)", "longer than 0.5 s"),
        ("import os; os.abort()", "its parser failed"),
        ("print('[')", "failed"),
    ],
)
def test_a_parser_that_does_not_come_back_is_ended(monkeypatch, tmp_path, program, told):
    (tmp_path / "parser.py").write_text(program)
    monkeypatch.setattr(reading, "_PARSER", tmp_path / "parser.py")
    monkeypatch.setattr(reading, "SECONDS", 0.5)
    assert told in refused("a.pdf", b"%PDF-1.7")


def test_a_parser_sees_no_secret_and_has_bounds(monkeypatch, tmp_path):
    (tmp_path / "parser.py").write_text(
        "import json, os, sys; told = json.dumps({'unreadable': str(sorted(os.environ)) + str('cwd' in sys.path)}).encode();"
        "sys.stdout.buffer.write(len(told).to_bytes(4) + told)"
    )
    monkeypatch.setattr(reading, "_PARSER", tmp_path / "parser.py")
    monkeypatch.setenv("TORPOR_MODEL_KEY", "secret")
    assert "TORPOR" not in refused("a.pdf", b"%PDF-1.7")


@pytest.mark.parametrize(
    ("deed", "told"),
    [
        ("os.abort()", "its parser failed"),
        ("os.kill(os.getppid(), signal.SIGKILL)", "its parser failed"),
        ("import time; time.sleep(60)", "longer than 3 s"),
        ("os.kill(os.getppid(), signal.SIGSTOP); import time; time.sleep(60)", "longer than 3 s"),
        ("kept = bytearray(2**30)", "too much memory"),
        ("os.write(1, b'x' * 9); sys.stdin.read(); os.abort()", "its parser failed"),
        ("[os.write(fd, b'[]') for fd in range(3, 20)]", "its parser failed"),
    ],
)
def test_what_a_document_does_to_its_parser_costs_itself_alone(monkeypatch, tmp_path, deed, told):
    obeys = "def html(data): exec(data); return dict(text='otters', pages=[], title='', authors='', year=None, remark='')"
    program = reading._PARSER.read_text().replace("if __name__", f"{obeys}\n\nif __name__")
    (tmp_path / "parser.py").write_text(program)
    monkeypatch.setattr(reading, "_PARSER", tmp_path / "parser.py")
    monkeypatch.setattr(reading, "SECONDS", 3)
    with Parsers() as parsers:
        before = read("a.html", b"globals().update(left=1)", parsers)
        with pytest.raises(UnreadableError, match=told):
            read("b.html", deed.encode(), parsers)
        assert read("a.html", b"assert 'left' not in globals()", parsers) == before == Reading("otters")


def test_many_documents_at_once_each_get_their_own_text():
    with Parsers() as parsers, ThreadPoolExecutor(4) as readers:
        texts = readers.map(lambda n: read("a.html", f"<p>Otters have {n} keys and more.".encode(), parsers).text, range(40))
        assert list(texts) == [f"Otters have {n} keys and more.\n" for n in range(40)]


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.md").write_text(PARAGRAPH)
    (tmp_path / "deep/b.pdf").write_bytes(pdf(PARAGRAPH))
    (tmp_path / "locked.pdf").write_bytes(pdf(PARAGRAPH, password="secret"))
    (tmp_path / "latin.txt").write_bytes("Café".encode("latin-1"))
    (tmp_path / ".hidden.md").write_text(PARAGRAPH)
    return tmp_path


async def test_a_collection_carries_what_was_left_out(folder):
    made, bucket = collect(folder), memory_bucket()
    assert list(made.files) == ["a.md", "deep/b.pdf"]
    assert list(made.skipped) == ["latin.txt", "locked.pdf"]
    await upload(made, bucket)
    told = json.loads(await bucket.get(f"sources/{made.name}/.skipped.json"))
    assert [entry["path"] for entry in told] == ["latin.txt", "locked.pdf"]
    kept = await bucket.get(f"sources/{made.name}/{kept_as('deep/b.pdf')}")
    assert Reading.kept(kept) == read("b.pdf", (folder / "deep/b.pdf").read_bytes())
    assert collect(folder).name == made.name
    (folder / "locked.pdf").unlink()
    assert collect(folder).name != made.name


def test_each_file_that_is_read_is_told(folder):
    told = []
    collect(folder, lambda *of: told.append(of))
    assert told == [("read", number, 4) for number in (1, 2, 3, 4)]


def test_many_files_are_told_line_by_line_and_apart_from_json(folder, tmp_path_factory, monkeypatch, capsys):
    monkeypatch.setattr(platform, "QUICK_S", -1.0)
    monkeypatch.setattr(platform, "_LAST", {})
    state = tmp_path_factory.mktemp("state")
    platform.put_documents(Config(state, state, state), folder, quiet=True)
    told = capsys.readouterr()
    assert told.out == ""
    begun, stored, came_to = told.err.splitlines()[:3]
    assert "sources   read: 1 of 4 files" in begun and "stored: 1 of 2 files" in stored and "2 documents" in came_to


def test_links_and_names_that_cannot_be_used_are_said_and_end(folder):
    (folder / "deep/up").symlink_to(folder)
    (folder / "one.md").symlink_to("two.md")
    (folder / "two.md").symlink_to("one.md")
    (folder / "out.md").symlink_to(__file__)
    with suppress(OSError):  # a file system that keeps names as text has no such name
        (folder / os.fsdecode(b"bad\xff.md")).write_text(PARAGRAPH)
    made = collect(folder)
    assert list(made.files) == ["a.md", "deep/b.pdf"]
    assert made.skipped["deep/up/"] == "a link to a folder, which is not followed"
    assert made.skipped["one.md"] == made.skipped["two.md"] == "a link that leads in a circle"
    assert made.skipped["out.md"] == "a link that leads out of the folder"
    assert made.skipped.get("bad\\xff.md", "its name is not UTF-8; rename it") == "its name is not UTF-8; rename it"
