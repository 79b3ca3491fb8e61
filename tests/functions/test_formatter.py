"""The page shows everything, escapes everything, loads nothing, and comes out the same every time."""

import json
import re
from html.parser import HTMLParser

import pytest

from eventing.testing import REQUEST, context
from functions.formatter.agent import handle
from functions.formatter.effort import cost, duration
from functions.formatter.findings import arranged
from functions.formatter.page import rendered
from functions.formatter.texts import as_json, markdown
from functions.prose import plain
from inference.testing import FakeModel
from schemas import (
    Claim,
    Conflict,
    LeftOut,
    PartAbandoned,
    Passage,
    RequestMetadata,
    ResearchResult,
    Source,
    StepState,
    ValidationPassed,
    Verdict,
)
from tests.browser.results import full
from tests.functions.conftest import HOSTILE, PASSAGE, summary

QUOTE = Claim(text="Ada Otter published it on 5 July 2022.", passage="p1", quoted=True)
WRITTEN = Claim(text="The key takes 1184 bytes.", passage="p1")


def passed(*claims, part=1, passages=(PASSAGE,), **changes):
    verdicts = tuple(Verdict(claim=n, verdict="supported", reason="word for word", by="code") for n in range(len(claims)))
    return ValidationPassed(
        **dict(summary(*claims, part=part, passages=passages, **changes)), verdicts=verdicts, checked_by="small-judge"
    )


def given_up(part=2, reason="nothing was found on this question"):
    return PartAbandoned(**dict(summary(part=part)), reason=reason)


def result(*parts, topic="the otter cipher"):
    return ResearchResult(request_id=REQUEST, topic=topic, parts=parts, metadata=RequestMetadata(email="a@b.org"))


async def page_of(made):
    ctx = context(FakeModel([]))
    answer = await handle(made, ctx)
    return answer, (await ctx.bucket.get(f"pages/{REQUEST}/report.html")).decode()


class Tags(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.found, self.ids, self.anchors, self.open = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        self.anchors += [value for name, value in attrs if name == "href"]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


async def test_the_answer_says_where_the_report_is():
    answer, page = await page_of(result(passed(QUOTE, WRITTEN), given_up()))
    assert answer.metadata.link == f"http://localhost:8080/report/{REQUEST}"
    assert (answer.claims, answer.parts, answer.parts_abandoned) == (2, 2, 1)
    assert answer.metadata.email == "a@b.org"
    assert answer.summary.startswith(QUOTE.text)
    assert "On 1 of 2 sub-questions nothing could be said." in answer.summary
    assert all(sentence in page for sentence in (QUOTE.text, WRITTEN.text, "On 1 of 2 sub-questions"))


async def test_the_page_shows_findings_passages_sources_checks_and_what_is_open():
    _, page = await page_of(result(passed(QUOTE, WRITTEN), given_up()))
    for shown in [QUOTE.text, WRITTEN.text, "Keys of the otter cipher", "On Otters", "otter.md, from character 120"]:
        assert shown in page
    assert f"<mark>{QUOTE.text}</mark>" in page
    assert "Not answered:" in page
    assert "nothing was found on this question." in page
    assert "small-writer" in page
    assert "small-judge" in page


async def test_the_page_is_whole_and_its_anchors_lead_somewhere():
    _, page = await page_of(result(passed(QUOTE, WRITTEN), passed(WRITTEN, QUOTE, part=2), given_up(3)))
    tags = Tags(page)
    assert not tags.open
    assert len(tags.ids) == len(set(tags.ids))
    inside = {anchor for anchor in tags.anchors if anchor.startswith("#")}
    assert {anchor.removeprefix("#") for anchor in inside} <= set(tags.ids)
    assert set(tags.anchors) - inside == {
        f"{REQUEST}.{ending}" for ending in ("pdf", "md", "json", "bib", "csl.json", "evidence.json")
    }
    assert not {"script", "link", "img", "iframe", "object", "form", "base"} & {tag for tag, _ in tags.found}
    assert not any(name.startswith("on") or name in ("src", "style") for _, attributes in tags.found for name in attributes)


async def test_the_policy_allows_the_one_style_and_nothing_else():
    _, page = await page_of(result(passed(QUOTE)))
    policy = next(a["content"] for _, a in Tags(page).found if a.get("http-equiv") == "Content-Security-Policy")
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; base-uri 'none'; form-action 'none'", policy)
    assert "url(" not in page
    assert "@import" not in page


async def test_hostile_text_stays_text():
    source = Source(id=HOSTILE, title=HOSTILE, authors=HOSTILE, year=-1, references=(HOSTILE,))
    passage = Passage(id="p1", source=source, text=HOSTILE, offset=0)
    claims = (Claim(text=HOSTILE, passage="p1"), Claim(text=HOSTILE + " 2", passage="p1", quoted=True))
    part = passed(*claims, passages=(passage,), question=HOSTILE, written_by=HOSTILE)
    answer, page = await page_of(result(part, given_up(reason=HOSTILE), topic=HOSTILE))
    tags = Tags(page)
    assert not tags.open
    assert not {"script", "img"} & {tag for tag, _ in tags.found}
    assert "&lt;script&gt;" in page
    assert "{{ 7*7 }}" in page
    assert not {"\u202e", "\u200b", "\x00", "\x07"} & set(page)
    assert not {"\u202e", "\u200b", "\x00"} & set(answer.summary)


async def test_the_page_is_the_same_every_time_and_written_once():
    made = result(passed(QUOTE, WRITTEN), given_up())
    ctx = context(FakeModel([]))
    first = await handle(made, ctx)
    page = await ctx.bucket.get(f"pages/{REQUEST}/report.html")
    assert await handle(made, ctx) == first
    assert (await page_of(made))[1].encode() == page == await ctx.bucket.get(f"pages/{REQUEST}/report.html")


async def test_what_was_said_before_is_pointed_at_and_not_counted_twice():
    answer, page = await page_of(result(passed(QUOTE), passed(QUOTE, WRITTEN, part=2)))
    assert answer.claims == 2
    assert "Said above" in page
    assert answer.summary.count(QUOTE.text) == 1


async def test_a_report_of_nothing_says_so():
    answer, page = await page_of(result(given_up(1), given_up(2)))
    assert answer.claims == 0
    assert answer.parts_abandoned == 2
    assert "No statement could be made" in page
    assert 'id="sources"' not in page


@pytest.mark.parametrize(
    "claim", [Claim(text="Lost is the passage.", passage="p9"), Claim(text="Not in it.", passage="p1", quoted=True)]
)
async def test_a_claim_without_its_passage_is_shown_as_such(claim):
    _, page = await page_of(result(passed(claim)))
    assert claim.text in page
    assert not Tags(page).open


def test_statements_and_sources_are_numbered_through():
    other = PASSAGE.model_copy(update={"id": "p2", "source": Source(id="b.md", title="B")})
    second = Claim(text="A second thing is said.", passage="p2")
    found = arranged(result(passed(QUOTE, WRITTEN), passed(second, QUOTE, part=2, passages=(PASSAGE, other))))
    assert [statement.number for statement in found.statements] == [1, 2, 3]
    assert [(cited.number, cited.statements) for cited in found.sources] == [(1, (1, 2)), (2, (3,))]
    assert found.sections[1].again == (1,)


async def forms_of(made):
    ctx = context(FakeModel([]))
    await handle(made, ctx)
    return [(await ctx.bucket.get(f"pages/{made.request_id}/report.{form}")).decode() for form in ("html", "md", "json")]


async def test_every_form_shows_checks_effort_and_what_was_not_used():
    page, text, data = await forms_of(full(REQUEST))
    for form in (page, text):
        for shown in ("0.0014 EUR", "2,280", "23 s", "Research assistant", "minutes.pdf", "4 more", "not asked", "page 7"):
            assert shown.lower() in form.lower(), shown
    told = json.loads(data)
    assert told["torpor_report"] == 2
    said = "supported: the text gives 1184 bytes"
    assert told["statements"][0]["checks"][-1] == {"name": "model", "passed": True, "said": said}
    assert f"“{said}”" in page and f"“{said}”" in text
    assert told["statements"][1]["passage"]["page"] == 7
    assert told["sources"][1]["references"] == ["RFC 8446", "FIPS 203"]
    assert told["effort"]["total"]["tokens"] == 2280
    assert [entry["path"] for entry in told["not_used"]] == ["minutes.pdf", "scans/2019/letter.pdf"]
    assert told["summary"] in text.replace("[^1]", "").replace("[^3]", "")
    assert re.sub(r"<[^>]+>", "", page.split('class="forms">')[1]).startswith("The same report as PDF, Markdown and JSON;")


async def test_what_is_not_supported_is_no_statement_and_listed_as_left_out():
    gone = LeftOut(text="Opera supports it.", passage="p2", verdict="contradicted", reason="the passage denies it")
    made = full(REQUEST)
    parts = (made.parts[0], made.parts[1].model_copy(update={"left_out": (gone,)}), made.parts[2])
    made = made.model_copy(update={"parts": parts})
    answer = await handle(made, context(FakeModel([])))
    assert answer.claims == 2
    assert not any(name in answer.summary for name in ("Firefox", "Opera"))
    page, text, data = await forms_of(made)
    for form in (page, text):
        listed = form.split("Left out", 1)[1].split("How each statement was checked")[0]
        for shown in (gone.text, gone.reason, "contradicted", "Chrome and Firefox support it.", "not in passage"):
            assert shown in listed
    told = json.loads(data)
    assert [(left["sub_question"], left["text"]) for left in told["left_out"]] == [
        (2, gone.text),
        (2, "Chrome and Firefox support it."),
    ]
    assert {statement["verdict"] for statement in told["statements"]} == {"supported"}


async def test_sources_that_conflict_are_said_to_in_every_form():
    page, text, data = await forms_of(full(REQUEST))
    for form in (page, text):
        assert "Another source says otherwise" in form
        assert "1,216 bytes there, 1,184 bytes here" in form
        assert "Sources conflict: see statement 1." in form.split("Another source")[0]
    assert "Sources conflict: see statement 1." in json.loads(data)["summary"]
    (told,) = json.loads(data)["statements"][0]["conflicts"]
    assert (told["said"], told["source"], told["where"]) == ("1,216 bytes there, 1,184 bytes here", 2, "page 7")
    assert 1 in json.loads(data)["sources"][1]["statements"]
    lost = WRITTEN.model_copy(update={"conflicts": (Conflict(passage="p9", reason="x"),)})
    agreed = markdown(arranged(result(passed(lost))))
    assert "says otherwise" not in agreed
    assert "Sources conflict" not in agreed


def test_nothing_is_said_of_left_out_statements_where_there_are_none():
    found = arranged(result(passed(QUOTE)))
    assert "Left out" not in rendered(found) + markdown(found)


def test_the_pages_of_a_later_edition_lead_to_its_own_forms():
    assert f'href="{REQUEST}.pdf?edition=2"' in rendered(arranged(result(passed(QUOTE))), edition=2)


async def test_hostile_text_stays_text_in_markdown_and_json():
    source = Source(id=HOSTILE, title=HOSTILE, authors=HOSTILE)
    hostile = f"# {HOSTILE} [x](javascript:alert(1)) `a` | b\n\n1. c"
    passage = Passage(id="p1", source=source, text=hostile, offset=0)
    part = passed(Claim(text=hostile, passage="p1"), passages=(passage,), question=hostile)
    _, text, data = await forms_of(result(part, given_up(reason=hostile), topic=hostile))
    assert json.loads(data)["topic"] == plain(hostile)
    assert not {"\u202e", "\u200b", "\x00"} & set(text + data)
    assert not re.search(r"(?<!\\)(?:<|`|\]\()", text)
    assert all(line.count(" | ") in (0, 3) for line in text.splitlines() if line.startswith("| "))


async def test_a_result_of_an_older_version_is_shown():
    page, text, data = await forms_of(result(passed(QUOTE, WRITTEN)))
    assert 'id="effort"' not in page
    assert "Time, tokens" not in text
    assert json.loads(data)["effort"] is None
    assert json.loads(data)["documents_searched"] is None


@pytest.mark.parametrize(
    ("costs", "shown"),
    [
        ([(0.7, "EUR"), (0.5, "EUR"), (0.0, "")], "1.20 EUR"),
        ([(0.0006, "USD")], "0.0006 USD"),
        ([(0.0000006, "EUR")], "under 0.0001 EUR"),
        ([(0.1, "USD"), (0.2, "EUR"), (0.2, "USD")], "0.2000 EUR and 0.3000 USD"),
        ([(0.0, ""), (0.0, "USD")], ""),
        ([], ""),
        ([(30_000, "EUR")], "30,000.00 EUR"),
    ],
)
def test_cost_is_told_where_the_steps_say_one(costs, shown):
    at = "2026-01-01T12:00:00+00:00"
    assert cost(StepState(step="s", agent="a", at=at, event="x", cost=c, currency=u) for c, u in costs) == shown


@pytest.mark.parametrize(("ms", "shown"), [(0, "0.0 s"), (9_949, "9.9 s"), (59_600, "1 min 0 s"), (185_000, "3 min 5 s")])
def test_durations_read_as_people_say_them(ms, shown):
    assert duration(ms) == shown


def test_a_sentence_of_a_longer_quotation_is_pointed_at():
    whole = Claim(text=PASSAGE.text, passage="p1", quoted=True)
    found = arranged(ResearchResult(request_id=REQUEST, topic="otters", parts=(passed(whole), passed(QUOTE, part=2))))
    assert found.sections[1].again == (1,) and len(found.statements) == 1


def test_a_model_that_was_too_small_to_write_is_named():
    parts = (passed(QUOTE, written_by="smollm2-135m-instruct", too_small="smollm2-135m-instruct"),)
    found = arranged(ResearchResult(request_id=REQUEST, topic="otters", parts=parts))
    assert "smollm2-135m-instruct is too small" in rendered(found) and "is too small" in markdown(found)


@pytest.mark.parametrize("name", ["llama-70b", "smollm2-135m-instruct"])
def test_a_model_that_was_asked_to_write_is_not_called_too_small(name):
    found = arranged(ResearchResult(request_id=REQUEST, topic="otters", parts=(passed(QUOTE, written_by=name),)))
    for form in (rendered(found), markdown(found)):
        assert "too small" not in form and "no model: every statement is a quotation" in form


def test_a_claim_on_the_same_passage_that_says_much_the_same_is_pointed_at():
    other = Claim(text="Ada Otter has published it on 5 July 2022.", passage="p1")
    found = arranged(result(passed(QUOTE), passed(other, WRITTEN, part=2)))
    assert [s.text for s in found.statements] == [QUOTE.text, WRITTEN.text]
    assert found.sections[1].again == (1,)


def test_the_words_that_a_written_statement_rests_on_are_marked():
    (statement,) = arranged(result(passed(WRITTEN))).statements
    assert statement.passage.said.startswith("The otter cipher has a public key of 1184 bytes")
    assert "July" in statement.passage.after


def test_a_report_that_ran_out_of_budget_says_that_it_is_partial_in_every_form():
    told = {"step": "research", "agent": "research_assistant", "at": "2026-11-24T12:00:00+00:00", "event": "summary_ready"}
    step = StepState(**told, refused_calls=2)
    findings = arranged(result(passed("Otters swim in the river.")).model_copy(update={"steps": (step,)}))
    told = "This report is partial: the request's token budget was used up, and 2 calls of models were not made."
    assert told in markdown(findings) and told in findings.summary and told in json.loads(as_json(findings))["summary"]
    assert told.replace("'", "&#39;") in rendered(findings)
    assert "partial" not in markdown(arranged(result(passed("Otters swim in the river."))))


def test_the_summary_has_the_statements_that_bear_on_the_topic_wherever_they_stand():
    beside = Claim(text="Voles are small and grey animals of the meadow.", passage="p1")
    answer = Claim(text="The otter cipher was broken by Ben Beaver in 62 minutes.", passage="p1")
    made = arranged(result(passed(beside), passed(answer, part=2), topic="How was the otter cipher broken?"))
    assert [s.text for s in made.lede] == [answer.text]
    elsewhere = arranged(result(passed(beside), topic="Comment fut-il brisé ?"))
    assert [s.text for s in elsewhere.lede] == [beside.text]


def test_the_summary_begins_with_what_answers_the_question_itself_and_each_of_two():
    asked = ("When do otters move?", "What does it cost?")
    first = (
        Claim(text="All have left the lake by 2031.", passage="p1"),
        Claim(text="Voles stay until 2035.", passage="p1"),
    )
    cost = (Claim(text="Boats take 20 crowns a head.", passage="p1"),)
    aside = (Claim(text="Otters move and otters cost what otters cost when otters move.", passage="p1"),)
    parts = [passed(*claims, part=n, question=q) for n, (claims, q) in enumerate(zip((first, cost), asked, strict=True), 1)]
    parts.append(passed(*aside, part=3, question="Which facts and figures bear on otters?"))
    made = arranged(result(*parts, topic="When do otters move, and what does it cost?"))
    assert [s.text for s in made.lede] == [claim.text for claim in (*first, *cost, *aside)]
    assert [s.text for s in arranged(result(*parts, topic="Otters that move at a cost")).lede] == [aside[0].text]
