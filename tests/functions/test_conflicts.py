"""Sources that say otherwise are said to do so, and those that merely tell of other things are not."""

import pytest

from eventing.testing import context, memory_bucket
from functions.research_assistant.agent import handle
from functions.research_assistant.conflicts import marked
from functions.research_assistant.revising import abandoned
from inference.testing import FakeModel
from schemas import Claim, PartAbandoned, Passage, Source, SummaryReady, ValidationFailed, Verdict
from tests.functions.conftest import question, summary

HIVE = "A hive of bees may hold 50,000 workers in summer."


def passage(text, source="north.md"):
    return Passage(id=f"{source}-{len(text)}", source=Source(id=source, title="Bees of the north"), text=text, offset=0)


def conflicts(one, other, source="north.md"):
    own = passage(one, "hives.md")
    return marked([Claim(text=one, passage=own.id)], [own, passage(other, source)])[0].conflicts


def test_each_sentence_of_a_quotation_is_looked_at():
    assert conflicts(f"Bees dance to tell where flowers are. {HIVE}", "In summer, a hive of bees holds 60,000 workers.")


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        (HIVE, "In summer, a hive of bees holds 60,000 workers.", "60,000 workers, not 50,000 workers"),
        (HIVE, "According to Otter, a hive of bees may hold 45000 workers in summer.", "45000 workers"),
        ("RTS,S cut malaria by 36.3 percent.", "RTS,S reduced malaria. RTS,S cut malaria by 46 percent.", "46 percent"),
        ("The law passed on 5 July 2022.", "The law passed on 6 July 2022.", "6 July 2022, not 5 July 2022"),
        (
            "In 2022 there were 249 million cases of malaria.",
            "There were 252 million cases of malaria in 2022.",
            "252 million",
        ),
        ("The key has 1184 bytes and the text 1088 bytes.", "The key has 1184 bytes and the text 1078 bytes.", "1078 bytes"),
        (
            "The otter cipher has a key of 1184 bytes.",
            "The otter cipher has a key of 1568 bytes.",
            "1568 bytes, not 1184 bytes",
        ),
        (
            "The otter cipher has a key of 1632 bytes.",
            "The otter cipher has a key of 1568 bytes.",
            "1568 bytes, not 1632 bytes",
        ),
    ],
)
def test_other_figures_of_the_same_thing_are_a_conflict(one, other, reason):
    found = conflicts(one, other)
    assert [reason in conflict.reason for conflict in found] == [True]
    assert all(conflict.reason.startswith("“Bees of the north” says ") for conflict in found)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (HIVE, HIVE),
        (HIVE, "A hive of bees may hold 50000 workers in summer."),
        (HIVE, "A hive of bees may hold about 49,000 workers in summer."),
        (HIVE, "A hive of wasps may hold 5,000 workers in summer."),
        (HIVE, "A hive of bees may hold 10,000 workers in winter."),
        (HIVE, "A hive of bees may hold many workers in summer."),
        ("ML-KEM-512 has a key of 800 bytes.", "ML-KEM-768 has a key of 1184 bytes."),
        ("There were 249 million cases in 2022.", "There were 263 million cases in 2023."),
        ("The survey of 2020 counted 30 otters.", "The survey of 2021 counted 40 otters."),
        ("A dose of 40 milligrams had an efficacy of 88 percent.", "A dose of 10 milligrams had an efficacy of 75 percent."),
        ("The key share of the client has 1216 bytes.", "The key share of the server has 1120 bytes."),
        ("NIST published FIPS 203 as a standard.", "NIST published FIPS 204 as a standard."),
        ("A kilometre of cable weighs 9 kilograms.", "A kilometre of cable weighs 9 tons."),
    ],
)
def test_other_things_other_times_and_other_words_are_none(one, other):
    assert conflicts(one, other) == conflicts(other, one) == ()


def test_a_source_does_not_conflict_with_itself():
    assert conflicts(HIVE, "A hive of bees may hold 60,000 workers in summer.", source="hives.md") == ()


async def test_a_part_keeps_both_sides_even_where_their_passages_are_all_but_the_same():
    store = memory_bucket()
    beginning = "Bees make honey from nectar of flowers, and a hive of bees stands in a garden near a river or in a wood."
    for name, workers in (("a.md", "50,000"), ("b.md", "60,000")):
        await store.create(f"sources/zoo/{name}", f"# {name}\n\n{beginning} {HIVE.replace('50,000', workers)}".encode())
    found = await handle(
        question("How many workers may a hive of bees hold?"), context(FakeModel(lambda _: ""), bucket=store)
    )
    assert isinstance(found, SummaryReady)
    sides = {claim.passage: claim for claim in found.claims}
    assert sorted(said for claim in sides.values() for said in ("50,000", "60,000") if said in claim.text) == [
        "50,000",
        "60,000",
    ]
    one, other = sides.values()
    assert [c.passage for c in one.conflicts] == [other.passage]
    assert [c.passage for c in other.conflicts] == [one.passage]
    assert {passage.id for passage in found.passages} == set(sides)


def test_a_part_that_is_given_up_keeps_the_passages_that_say_otherwise():
    sides = (
        passage(HIVE, "hives.md"),
        passage("A hive of bees may hold 60,000 workers in summer."),
        passage("Else.", "x.md"),
    )
    made = summary(*marked([Claim(text=HIVE, passage=sides[0].id)], sides), passages=sides)
    verdict = Verdict(claim=0, verdict="supported", reason="said", by="code")
    gone = abandoned(ValidationFailed(**dict(made), verdicts=(verdict,)), "enough")
    assert isinstance(gone, PartAbandoned)
    assert {told.id for told in gone.passages} == {side.id for side in sides[:2]}


@pytest.mark.timeout(5)
@pytest.mark.parametrize("text", ["9" * 19_000, "A" * 19_000, "1," * 9_000, "a1 " * 6_000, "A 1. " * 3_900, "July " * 3_900])
def test_any_text_is_compared_in_linear_time(text):
    conflicts(text[:2_000], f"{text}1")
