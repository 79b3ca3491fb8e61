"""Sources as BibTeX and CSL JSON: escaped, each under a key of its own, people told from bodies."""

import json

from functions.gateway.citing import bibtex, csl


def source(**changes):
    return {"id": "notes/keys.md", "title": "Keys of the otter cipher", "authors": "", "year": None} | changes


def test_a_source_is_an_entry_with_what_is_known_of_it():
    said = bibtex([source(authors="Ada Otter, Ben van Beaver and Otter Standards Institute", year=2025)])
    assert said == (
        "@misc{otter2025keys,\n"
        "  title = {{Keys of the otter cipher}},\n"
        "  author = {Ada Otter and Ben van Beaver and {Otter Standards Institute}},\n"
        "  year = {2025},\n"
        "  howpublished = {notes/keys.md},\n"
        "}\n"
    )
    assert "author" not in bibtex([source()])
    assert "year" not in bibtex([source()])


def test_what_is_special_to_latex_is_escaped():
    said = bibtex([source(title="50 % of $x_1$ & {more} #2 ~ \\end", id="https://x.org/a_b%20c#{d}")])
    assert r"{{50 \% of \$x\_1\$ \& \{more\} \#2 \textasciitilde{} \textbackslash{}end}}" in said
    assert r"url = {https://x.org/a_b\%20c#\%7Bd\%7D}" in said


def test_sources_that_look_alike_have_keys_of_their_own():
    same = source(authors="Ada Otter", year=2025)
    assert [item["id"] for item in json.loads(csl([same, same, same]))] == [
        "otter2025keys", "otter2025keys-2", "otter2025keys-3",
    ]  # fmt: skip
    assert json.loads(csl([source(title="日本")]))[0]["id"] == "source"


def test_csl_tells_people_bodies_places_and_dois():
    found = json.loads(
        csl(
            [
                source(authors="Ada Otter; NIST; Otter authors", year=2024, id="https://doi.org/10.1000/182"),
                source(),
                source(id="https://x.org/"),
            ]
        )
    )
    assert found[0]["author"] == [{"family": "Otter", "given": "Ada"}, {"literal": "NIST"}, {"literal": "Otter authors"}]
    assert found[0]["issued"] == {"date-parts": [[2024]]}
    assert (found[0]["DOI"], found[0]["URL"]) == ("10.1000/182", "https://doi.org/10.1000/182")
    assert found[1]["archive_location"] == "notes/keys.md"
    assert found[2]["URL"] == "https://x.org/"
    assert "doi = {10.1000/182}" in bibtex([source(id="https://doi.org/10.1000/182")])


def test_no_sources_are_no_entries():
    assert bibtex([]) == ""
    assert json.loads(csl([])) == []
