"""One mail: the link or the reason, nothing injected, the same on every run."""

import re
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes, policy
from html import unescape

import pytest

from eventing.testing import NOON, REQUEST, Outbox, context
from functions.notifier.agent import handle
from functions.notifier.letter import UnwritableError
from inference.testing import FakeModel
from schemas import RequestMetadata, ResearchComplete, ResearchFailed
from schemas.research import CompletedMetadata
from tests.functions.conftest import HOSTILE

LINK = f"http://localhost:8080/report/{REQUEST}"


def complete(topic="the otter cipher", email="ada@example.org", summary="It has a key of 1184 bytes.", abandoned=0):
    metadata = CompletedMetadata(email=email, link=LINK)
    return ResearchComplete(
        request_id=REQUEST, topic=topic, summary=summary, claims=3, parts=2, parts_abandoned=abandoned, metadata=metadata
    )


def failure(topic="the otter cipher", reason="the deadline passed", email="ada@example.org"):
    return ResearchFailed(request_id=REQUEST, topic=topic, reason=reason, metadata=RequestMetadata(email=email))


async def sent(event, ctx=None):
    outbox = Outbox()
    ctx = ctx or context(FakeModel([]), mail=outbox)
    await handle(event, ctx)
    return [message_from_bytes(m.as_bytes(policy=policy.SMTP), policy=policy.default) for m in ctx.mail.letters]


def parts(mail):
    return (mail.get_body((kind,)).get_content() for kind in ("plain", "html"))


async def test_the_mail_brings_the_link():
    (mail,) = await sent(complete(abandoned=1))
    assert (mail["To"], mail["Subject"]) == ("ada@example.org", "Report: the otter cipher")
    assert mail["Message-ID"] == f"<{REQUEST}@torpor>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Date"].datetime == NOON
    assert mail["From"] is None
    for body in parts(mail):
        assert LINK in body
        assert "1184 bytes" in body
        assert "3 checked statements on 2 sub-questions" in body
        assert "1 of them" in body


async def test_the_mail_brings_the_reason():
    (mail,) = await sent(failure())
    assert mail["Subject"] == "No report: the otter cipher"
    for body in parts(mail):
        assert "the deadline passed" in body
        assert str(REQUEST) in body


@pytest.mark.parametrize(("event", "kicker"), [(complete(), "Report"), (failure(), "No report")])
async def test_the_mail_of_a_new_edition_says_that_it_is_one(event, kicker):
    ctx = context(FakeModel([]), mail=Outbox())
    ctx.key = replace(ctx.key, edition=2)
    (mail,) = await sent(event, ctx)
    assert mail["Subject"] == f"{kicker}, new edition: the otter cipher"
    assert mail["Message-ID"] == f"<{REQUEST}~2@torpor>"
    for body in parts(mail):
        assert "This is a new edition (2)" in body and "Earlier mails and reports stay as they are" in body
    (first,) = await sent(event)
    assert "edition" not in first["Subject"] and "edition" not in next(parts(first))


@pytest.mark.parametrize("event", [complete(abandoned=1), complete(topic="量子 <b>&amp;</b>"), failure()])
async def test_both_parts_say_the_same(event):
    (mail,) = await sent(event)
    text, html = parts(mail)
    shown = unescape(re.sub(r"<(style|title).*?</\1>|<!--.*?-->|<[^>]*>", " ", html, flags=re.DOTALL))
    said, shown = ({word.strip(":.,") for word in part.split()} - {"", "--"} for part in (text, shown))
    assert said == shown


async def test_the_html_part_is_what_mail_clients_show():
    html = list(parts((await sent(complete()))[0]))[1]
    assert html.count("<table") == html.count('<table role="presentation"')
    assert all('style="' in tag for tag in re.findall(r"<(?:p|h1|a) [^>]*>", html))
    assert not re.search(r"<(?:img|script|link|div)|url\(|@import|display:\s*(?:flex|grid)", html)
    assert re.findall(r'(?:src|href)="([^"]*)"', html) == [LINK, LINK]
    assert len(html) < 100_000  # more is cut by some clients


@pytest.mark.parametrize("event", [complete(email=None), failure(email=None)])
async def test_without_an_address_there_is_nothing_to_do(event):
    assert await sent(event) == []


@pytest.mark.parametrize(
    "topic", ["x\r\nBcc: eve@example.org\r\n\r\nHello", "x\nBcc: eve@example.org", HOSTILE, "量子" * 900, "\u200b"]
)
async def test_a_topic_injects_nothing(topic):
    events = [failure(topic=topic, reason=topic)] + [complete(topic=topic, summary=topic)] * bool(topic.isprintable())
    for event in events:
        (mail,) = await sent(event)
        assert mail["Bcc"] is None
        assert mail["Subject"].strip().endswith(("Hello", "org", "&amp;", "…", str(REQUEST)))
        text, html = parts(mail)
        assert "<script" not in html
        assert "<img" not in html
        assert not {"\u202e", "\u200b", "\x00"} & set(text + html)


async def test_a_second_run_makes_the_same_mail():
    ctx = context(FakeModel([]), mail=Outbox())
    await handle(complete(), ctx)
    ctx.clock = lambda: NOON + timedelta(hours=1)
    await handle(complete(), ctx)
    first, second = ctx.mail.letters
    strip = [{name: m[name] for name in ("To", "Subject", "Message-ID", "Date")} for m in (first, second)]
    assert strip[0] == strip[1]


@pytest.mark.parametrize("address", ["$&~-=@[|!{(", "({=[=).@{#}=", "a\0@b.c", "a\u200b@b.c"])
async def test_an_address_that_no_mail_can_be_written_to_is_not_tried_again(address):
    with pytest.raises(UnwritableError) as caught:
        await sent(failure(email=address))
    assert caught.value.status == 422
