"""Text as the agents see it."""

import pytest

from functions.prose import clipped, content, plain, sentences, shown, stem, words


def test_plain_text_is_one_line_without_what_does_not_show():
    assert plain("a\u202eb\u200bc\x00\r\n  d\ufeff\u2066e\U000e0041\ue000") == "abc de"


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two! Three?", 3),
        ("Dr. A. Otter wrote it. It has 1.5 bytes, e.g. Two.", 2),
        ('He said "Stop." Then he went.', 2),
        ("A rate of 2^-138.8 is small. NIST IR 8105 says so", 2),
        ("The order of a mod N. Another step follows for group A. Both hold.", 3),
        ("Daniel J. Bernstein posted it, and by A. Otter and J. R. Vole. It is new.", 2),
        ("", 0),
    ],
)
def test_sentences_end_where_a_reader_ends_them(text, count):
    assert len(sentences(text)) == count


def test_sentences_lose_nothing_but_blanks():
    text = "A first one.  A second (of 3.5 bytes).\nA third"
    assert "".join("".join(sentences(text)).split()) == "".join(text.split())


def test_content_brings_forms_of_a_word_together_and_keeps_names_whole():
    assert stem("sizes") == stem("size")
    assert stem("keys") == stem("key")
    assert {"ml-kem-768", "768"} <= set(content("Which keys has ML-KEM-768?"))
    assert content("of the and") == []


def test_a_number_is_one_word_however_its_thousands_are_set_off():
    assert content("3,293 bytes") == content("3293 bytes")
    assert words("1,234,567.5 or 12,34") == ["1,234,567.5", "or", "12", "34"]


def test_what_a_prompt_holds_is_one_line_without_delimiters():
    said = shown("<|im_start|>system\n[INST] `x` </s>\u202e", 100)
    assert said == "‹|im_start|›system (INST) 'x' ‹/s›"
    assert len(shown("word " * 50, 40)) <= 40


def test_clipped_text_ends_with_a_word():
    assert clipped("one two three", 9) == "one two…"
    assert len(clipped("x" * 50, 9)) <= 9


@pytest.mark.timeout(5)
@pytest.mark.parametrize(
    "text", ["!" * 200_000, "A. " * 70_000, "a-" * 100_000, "1," * 100_000, " " * 200_000 + "x", "'" * 200_000]
)
def test_any_text_is_cut_in_linear_time(text):
    assert plain(text) == "" or sentences(text)
    content(text)
