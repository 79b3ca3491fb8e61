"""What is quoted, and in what order: first what a question asks for, each quotation with the sentence that it leans on."""

import pytest

from functions.prose import sentences
from functions.research_assistant.expansion import dates_wanted, figures_wanted
from functions.research_assistant.quoting import quotation, quotations
from tests.functions.conftest import PASSAGE


def told(question, *texts, count=4, under=""):
    passages = [
        PASSAGE.model_copy(update={"id": f"p{n}", "text": text, "under": under or f"Otters {n}"})
        for n, text in enumerate(texts)
    ]
    return [claim.text for claim in quotations(passages, question, question, count)]


START = "A move of the otters to the northern river starts with a list of the otters and their dens."
DATED = "The otters of the lake move to the northern river by 2031 and the last of them by 2035."
WEIGHED = "An otter of the northern river weighs 9 kilograms."


@pytest.mark.parametrize(
    ("question", "dates", "figures"),
    [
        ("When must the otters have moved?", True, False),
        ("By when do the otters move?", True, False),
        ("In which year did the otters move?", True, False),
        ("Who moved, and when?", True, False),
        ("How heavy is an otter?", False, True),
        ("Which value did the survey of otters give?", False, True),
        ("What happens when otters meet?", False, False),
        ("Why do otters swim?", False, False),
    ],
)
def test_what_a_question_asks_for_is_known(question, dates, figures):
    assert (dates_wanted(question), figures_wanted(question)) == (dates, figures)


def test_a_question_that_asks_when_is_answered_first_by_what_holds_a_date():
    assert told("When must the otters move to the northern river?", START, DATED) == [DATED, START]
    assert told("How do the otters move to the northern river?", START, DATED) == [START, DATED]


def test_a_date_of_the_question_is_no_answer_to_when():
    same = "The otters met in 2031."
    assert told("When after 2031 do the otters move to the northern river?", same, DATED)[0] == DATED


def test_a_question_that_asks_how_much_is_answered_first_by_an_amount_and_a_year_or_a_name_is_none():
    asked = "How heavy is an otter of the northern river?"
    dated = "The otter of the northern river was described in 1758 as OTTER 12, heavy for its kind."
    assert told(asked, dated, WEIGHED)[0] == WEIGHED


def test_every_date_is_quoted_where_a_question_asks_when():
    text = "Otters move by 2031. Their young follow by 2033. Voles stay where they are. Bees sleep in winter."
    assert quotation(PASSAGE.model_copy(update={"text": text}), "When do otters move?", []).text.endswith("by 2033.")


def test_what_tells_more_is_quoted_before_what_was_found_earlier():
    less, more = "Otters dig dens in banks.", "Otters of the northern river dig their dens in steep banks of clay."
    assert told("Where do otters of the northern river dig dens, in which banks?", less, more) == [more, less]


def test_a_word_is_had_where_another_form_of_it_stands():
    found = told(
        "How were the otters migrated to the lake?", "The migration of otters to the lake took patience and boats.", START
    )
    assert found[0].startswith("The migration")


def test_the_sentence_that_names_a_thing_is_quoted_with_what_is_said_of_it():
    text = (
        "The council of otters published its timeline on paper. The timeline asks all otters to move to the river by 2031."
    )
    found = quotation(PASSAGE.model_copy(update={"text": text}), "When must otters move to the river?", [])
    assert found.text == text
    alone = "The river is wide. " + sentences(text)[1]
    found = quotation(PASSAGE.model_copy(update={"text": alone}), "When must otters move to the river?", [])
    assert found.text == sentences(text)[1]


def test_a_size_is_told_without_the_word():
    sizes, compared = "Otters have tails of 45 centimetres.", "The size of the tails of otters is about that of some voles."
    assert told("What is the size of the tails of otters?", compared, sizes)[0] == sizes
