"""The page shows everything, escapes everything, loads nothing, and comes out the same every time."""

import re
from html.parser import HTMLParser

import pytest

from eventing.testing import REQUEST, context
from functions.formatter.agent import handle
from functions.formatter.findings import arranged
from inference.testing import FakeModel
from schemas import Claim, PartAbandoned, Passage, RequestMetadata, ResearchResult, Source, ValidationPassed, Verdict
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
    assert set(tags.anchors) - inside == {f"{REQUEST}.md", f"{REQUEST}.json"}
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
