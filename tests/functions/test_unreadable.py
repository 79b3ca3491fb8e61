"""What could not be read of the sources stands with its reason in every form of the report, and the rest goes on."""

import io
import re
from html import unescape

import pytest
from pypdf import PdfReader

from eventing.cli.documents import collect, upload
from eventing.testing import REQUEST, context, memory_bucket
from functions.aggregator.agent import handle as aggregate
from functions.formatter.agent import handle as formatted
from functions.gateway import printing
from functions.research_assistant.agent import handle as research
from functions.validator.agent import handle as validate
from inference.testing import FakeModel
from schemas import PartAbandoned, RequestMetadata
from tests.eventing.test_documents import PARAGRAPH, pdf
from tests.functions.conftest import NOTE, question

PICTURE = b"\x89PNG\r\n\x1a\n"
BAD = {
    "locked.pdf": (pdf(PARAGRAPH, password="secret"), "protected by a password; save a copy without it"),
    "scan.pdf": (pdf("", ""), "2 pages without text, a scan it seems; run a text recognition (OCR) on it first"),
    "half.pdf": (pdf("The vole swims well in rivers.", "", ""), "2 of its 3 pages have no text; scans are not read"),
    "broken.pdf": (pdf(PARAGRAPH)[:200], "no PDF that can be read, it seems damaged or cut off"),
    "picture.pdf": (PICTURE, "no PDF that can be read: it does not begin like one, whatever its name says"),
    "latin.txt": ("Café".encode("latin-1"), "not UTF-8 (byte 3 is 0xe9); save it as UTF-8"),
    "page.html": (b"<p>Caf\xe9 and more text that is shown to people", "not UTF-8 (byte 6); save it as UTF-8"),
    "empty.md": (b"", "empty"),
    "nothing.pdf": (b"", "empty"),
    "deep/my *photo* (1).png": (PICTURE, "not one of .md, .markdown, .txt, .html, .htm, .pdf"),
}


@pytest.fixture(scope="module")
async def forms(tmp_path_factory):
    """The report on a folder of which one file is sound, as a reader sees it: page, Markdown and PDF."""
    return await told(tmp_path_factory.mktemp("sources"), "How large are the keys of the otter cipher?")


async def told(folder, asked):
    (folder / "deep").mkdir()
    (folder / "otter.md").write_bytes(NOTE)
    for name, (data, _) in BAD.items():
        (folder / name).write_bytes(data)
    bucket, collection = memory_bucket(), collect(folder)
    await upload(collection, bucket)
    context_of = {"llm": FakeModel(lambda _: "no sentence", name="small-135m"), "bucket": bucket}
    part = await research(question(asked, of=1, metadata=RequestMetadata(sources=collection.name)), context(**context_of))
    judged = part if isinstance(part, PartAbandoned) else await validate(part, context(**context_of))
    await formatted(await aggregate([judged], context(**context_of)), context(**context_of))
    page, text, data = [await bucket.get(f"pages/{REQUEST}/report.{form}") for form in ("html", "md", "json")]
    pages = PdfReader(io.BytesIO(printing.pdf(data, "http://localhost:8080/report/x"))).pages
    shown = {
        "page": unescape(re.sub(r"<[^>]+>", " ", page.decode())),
        "Markdown": re.sub(r"\\(.)", r"\1", text.decode()),
        "PDF": " ".join(page.extract_text() for page in pages).replace("\u00ad", "-"),
    }
    return {form: " ".join(said.split()) for form, said in shown.items()}


@pytest.mark.parametrize("form", ["page", "Markdown", "PDF"])
def test_each_source_that_could_not_be_read_stands_there_with_its_reason(forms, form):
    between = ": " if form == "Markdown" else " "
    listed = forms[form].partition("could not be read, or only in part.")[2]
    for name, (_, reason) in BAD.items():
        assert f"{name}{between}{reason}" in listed
    assert "otter.md" not in listed.partition("Made by Torpor")[0].partition("[^1]")[0]


@pytest.mark.parametrize("form", ["page", "Markdown", "PDF"])
def test_how_many_there_are_is_said_before_the_findings_and_the_rest_goes_on(forms, form):
    where = {"page": "which, and why", "Markdown": "see “Not read”", "PDF": "which, and why, stands on page"}[form]
    said = forms[form]
    assert said.index(f"{len(BAD)} sources were not read, or only in part: {where}") < said.index("supported")
    assert "public key of 1184 bytes" in said
    assert "2 documents searched, 1 cited" in said


async def test_where_nothing_was_found_they_are_told_as_well(tmp_path):
    for form, said in (await told(tmp_path, "Which volcanoes erupted on Iceland?")).items():
        assert "nothing was found on this question in the 2 documents" in said, form
        assert f"{len(BAD)} sources were not read" in said, form
        assert "locked.pdf" in said and "protected by a password" in said, form
        assert "nobody: there are no statements" in said or form == "Markdown", form


async def test_a_report_on_sources_that_can_all_be_read_says_nothing_of_it():
    store = memory_bucket()
    await store.create("sources/zoo/otter.md", NOTE)
    context_of = {"llm": FakeModel(lambda _: "", name="small-135m"), "bucket": store}
    judged = await validate(await research(question(of=1), context(**context_of)), context(**context_of))
    await formatted(await aggregate([judged], context(**context_of)), context(**context_of))
    for form in ("html", "md"):
        said = (await store.get(f"pages/{REQUEST}/report.{form}")).decode()
        assert "not read" not in said.lower()
