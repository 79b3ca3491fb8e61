"""The PDF of a report says which of its characters it cannot show."""

import io
from pathlib import Path

import pytest
from pypdf import PdfReader

from eventing.errors import ConfigurationError
from eventing.testing import REQUEST
from functions.formatter.findings import arranged
from functions.formatter.texts import as_json
from functions.gateway import printing
from tests.browser.results import full

PAGE = f"http://localhost:8080/report/{REQUEST}"
# One of a script each: Latin, Greek, Cyrillic, Armenian, Hebrew, Arabic, Devanagari, Thai, Georgian, Hangul, kana, Han; punctuation
# that is cut at the ends of a line, a mark that joins what stands before it, and signs.
SCRIPTS = "éλжԲשعहกგ한かア量𠀀、（\u302a✓⚠∮₂𝔄🦦€"
FONTS = Path(__file__).with_name("fonts")  # a font of one glyph: a square for U+91CF


def printed(topic: str, fonts: str = "") -> PdfReader:
    report = as_json(arranged(full(REQUEST).model_copy(update={"topic": topic})))
    return PdfReader(io.BytesIO(printing.pdf(report.encode(), PAGE, fonts)))


def read(made: PdfReader) -> str:
    return " ".join(page.extract_text() for page in made.pages)


def links(made: PdfReader) -> set[str]:
    return {note.get_object()["/A"]["/URI"] for page in made.pages for note in page.get("/Annots", [])}


def test_each_character_is_shown_or_named():
    made = printed(f"Keys {' '.join(SCRIPTS)}")
    said = read(made)
    shown, named = {one for one in SCRIPTS if one in said}, {one for one in SCRIPTS if f"U+{ord(one):04X}" in said}
    assert {"é", "λ", "ж", "ع", "✓"} <= shown
    assert {"한", "か", "量", "𠀀", "、", "（", "\u302a"} <= named
    assert not shown & named
    assert shown | named == set(SCRIPTS)
    assert f"Boxes stand for {len(named)} characters" in said
    assert links(made) == {PAGE}


def test_many_are_counted_and_some_named():
    said = read(printed("".join(map(chr, range(0x4E00, 0x4E00 + 200)))))
    assert "Boxes stand for 200 characters" in said
    assert "U+4E00, " in said and said.count("U+4E") == 24
    assert "and 176 more" in " ".join(said.split())


def test_a_report_that_can_be_read_says_nothing_of_it():
    made = printed("Keys of the otter: naïve, 1 µm")
    assert "can be read" not in read(made)
    assert not links(made)


def test_a_folder_of_fonts_is_used_for_what_the_others_lack():
    said = read(printed("Keys 量子", str(FONTS)))
    assert "量" in said
    assert "Boxes stand for 1 character that no font at hand has: U+5B50." in " ".join(said.split())


def test_a_folder_that_is_none_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigurationError, match=r"TORPOR_SETTING_FONTS is .*/none, which is no folder"):
        printed("Keys", str(tmp_path / "none"))


def test_the_models_reason_stands_beside_its_verdict():
    assert "“supported: the text gives 1184 bytes”" in " ".join(read(printed("Keys of the otter")).split())
