"""The example collections are sound: each document says what it is and rests on, each question has its answer there."""

import re
from pathlib import Path

import pytest
import yaml

from functions.auditing import audit, documents
from functions.research_assistant.documents import document
from functions.research_assistant.passages import passages

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = sorted((EXAMPLES / "questions").glob("*.yaml"))
DOCUMENTS = [path for questions in QUESTIONS for path in sorted((EXAMPLES / questions.stem).iterdir())]


def test_there_are_three_collections_of_a_dozen_documents():
    assert len(QUESTIONS) >= 3
    for questions in QUESTIONS:
        assert len(list((EXAMPLES / questions.stem).glob("*.md"))) >= 12, questions.stem


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_document_says_what_it_is_and_what_it_rests_on(path):
    read = document(path.name, path.read_bytes())
    about = read.source
    assert path.suffix == ".md"
    assert about.title and about.authors and about.year
    assert f"# {about.title}\n" in read.text
    assert len(set(about.references)) == len(about.references) >= 2
    assert sum(bool(re.search(r"\b(?:1[89]|20)\d\d\b", text)) for text in about.references) >= 2
    assert len(passages(read)) >= 4


@pytest.mark.parametrize("path", QUESTIONS, ids=lambda path: path.stem)
def test_each_question_is_answered_by_the_documents_that_it_names(path):
    asked = yaml.safe_load(path.read_text())
    assert len({question["question"] for question in asked}) == len(asked)
    for question in asked:
        told = [
            found.passage.text.lower()
            for name in question["documents"]
            for found in passages(document(name, (EXAMPLES / path.stem / name).read_bytes()))
        ]
        for answer in question["must_contain"]:
            assert any(answer.lower() in text for text in told), f"{answer!r} of {question['question']}"
    named = {name for question in asked for name in question["documents"]}
    assert named == {found.name for found in (EXAMPLES / path.stem).iterdir()}


@pytest.mark.parametrize("collection", [path.stem for path in QUESTIONS])
def test_each_report_has_a_record_by_which_nothing_of_it_is_wrong(collection):
    report, record = (EXAMPLES / "reports" / f"{collection}.{form}" for form in ("md", "evidence.json"))
    found = audit(record.read_bytes(), forms={"md": report.read_bytes()})
    assert found["wrong"] == [] and found["statements"] > 0
    assert list(documents(record.read_bytes(), EXAMPLES / collection)) == []
