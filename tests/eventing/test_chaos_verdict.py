"""The verdict of a chaos run: each check finds what breaks its promise, and nothing where it is kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from email.message import EmailMessage
from xml.etree import ElementTree

import pytest

from eventing.agent import StepKey
from eventing.chaos import Observations, Seen, Struck, judge, mailing, reporting
from eventing.chaos.mailing import Claim, Mailing
from eventing.chaos.observing import Bought
from eventing.mail import ClaimedMailer, MailError, Server
from eventing.testing import NOON, REQUEST, memory_bucket

ENDS = frozenset({"report_complete", "request_failed"})


def seen(kind: str, at: float, request: str = "r1", **more: str | bool) -> Seen:
    source = f"/agents/{'notifier' if kind in ENDS else 'writer'}/{kind}"
    told = {"id": f"{request}-{kind}", "source": source, "digest": "d1", **more}
    return Seen(at=at, topic=kind, type=kind, request=request, **told)  # type: ignore[arg-type]


def kept() -> Observations:
    """A run of two requests, in which nothing is wrong."""
    events = [seen(kind, at, request) for request in ("r1", "r2") for kind, at in (("draft", 2.0), ("report_complete", 5.0))]
    return Observations(
        begun=0.0,
        over=10.0,
        admitted={"r1": 1.0, "r2": 1.0},
        events=events,
        ends=ENDS,
        fails="request_failed",
        mailed=["r1", "r2"],
        mail_expected=True,
        struck=[Struck("broker", 3.0, "kafka-2")],
        bought=Bought(generations=2, call_keys=2, at_server={"r1#0": 1, "r2#0": 1}),
    )


def and_seen(run: Observations, *events: Seen) -> Observations:
    return replace(run, events=[*run.events, *events])


def test_nothing_wrong_breaks_no_promise() -> None:
    verdict = judge(kept(), costly=False)
    assert verdict.kept and len(verdict.promises) == 7
    assert (verdict.requests, verdict.complete, verdict.failed, verdict.per_key) == (2, 2, {}, 1.0)
    assert verdict.recovery[0].any == (2.0,)


BROKEN: dict[str, tuple[Callable[[Observations], Observations], str]] = {
    "every request was taken": (lambda run: replace(run, refused={"number 3": "answered 400"}), "number 3: answered 400"),
    "nothing is lost": (
        lambda run: replace(run, events=[one for one in run.events if one.request == "r1" or one.type == "draft"]),
        "r2 was taken and has no end; the last that was seen of it is draft of /agents/writer/draft",
    ),
    "every request ends once": (lambda run: and_seen(run, seen("request_failed", 6.0)), "r1 ended as report_complete"),
    "one effect a step": (lambda run: and_seen(run, seen("draft", 3.0, id="another")), "2 ids"),
    "one mail a request": (lambda run: replace(run, mailed=["r1", "r2", "r1"]), "r1 got 2 mails"),
    "every account is closed": (
        lambda run: replace(run, bought=replace(run.bought, open_accounts=1)),
        "1 accounts are open at the scheduler",
    ),
    "the gateway fails nobody": (
        lambda run: replace(run, unintended={"answered 502: away": 3}),
        "3 times: answered 502: away",
    ),
    "every model call is bought once": (
        lambda run: replace(run, bought=replace(run.bought, at_server={"r1#0": 2, "r2#0": 1})),
        "the model server generated 2 answers for call r1#0",
    ),
}


@pytest.mark.parametrize("promise", BROKEN)
def test_each_broken_promise_is_found_alone(promise: str) -> None:
    breaking, told = BROKEN[promise]
    verdict = judge(breaking(kept()), costly=False)
    broken = [one for one in verdict.promises if not one.kept]
    assert [one.name.startswith(promise) for one in broken] == [True]
    assert told in broken[0].broken[0]


def test_two_contents_under_one_id_are_a_doubled_effect() -> None:
    verdict = judge(and_seen(kept(), seen("draft", 3.0, digest="d2")), costly=False)
    assert "1 ids, 2 contents" in next(one for one in verdict.promises if not one.kept).broken[0]


def test_the_same_record_again_breaks_nothing_and_is_counted() -> None:
    verdict = judge(and_seen(kept(), seen("draft", 3.0)), costly=False)
    assert verdict.kept and verdict.delivered_again == 1


def test_a_missing_mail_and_an_unknown_account_break_promises() -> None:
    run = replace(kept(), mailed=["r1"], bought=replace(kept().bought, open_accounts=None))
    broken = [line for one in judge(run, costly=False).promises for line in one.broken]
    assert broken == ["r2 has ended and got no mail", "the scheduler did not answer: nobody knows"]


def test_the_schedulers_own_count_must_agree() -> None:
    run = replace(kept(), bought=replace(kept().bought, generations=3))
    assert "started 3 generations for 2 call keys" in judge(run, costly=False).promises[-1].broken[0]


def test_calls_may_be_bought_twice_where_models_die_and_nowhere_else() -> None:
    run = replace(kept(), bought=Bought(3, 2, 20, {"r1#0": 2, "r2#0": 1}))
    assert judge(run, costly=True).kept and not judge(run, costly=False).kept
    assert judge(run, costly=True).tokens_twice == 20


def test_failed_requests_are_told_with_their_reason() -> None:
    events = [one for one in kept().events if one.request == "r2"]
    run = replace(kept(), events=[*events, seen("request_failed", 4.0, reason="deadline")])
    verdict = judge(run, costly=False)
    assert verdict.kept and verdict.failed == {"deadline": 1} and verdict.complete == 1


def test_the_picture_marks_each_fault_and_is_sound_xml() -> None:
    picture = reporting.picture(replace(kept(), struck=[Struck("broker", 3.0, "<kafka>"), Struck("model", 4.0)]))
    titles = [one.text for one in ElementTree.fromstring(picture).iter("{http://www.w3.org/2000/svg}title")]
    assert titles == ["broker <kafka>", "model"]


def test_the_report_says_what_broke() -> None:
    run = replace(kept(), mailed=["r1", "r2", "r1"])
    verdict = judge(run, costly=False)
    assert "BROKEN  one mail a request, outside of the stated windows" in list(reporting.lines(verdict, run))
    content = reporting.content(verdict, run, "mine")
    assert content["kept"] is False and content["recovery"]["broker"]["next_progress_s"] == {"median": 2.0, "worst": 2.0}


SAME = ("<r1@torpor>", "<r1@torpor>")


@pytest.mark.parametrize(
    ("ids", "claims", "proved"),
    [
        (SAME, (Claim(0.0), Claim(91.0, marked=True)), True),  # a sender died, its lease passed
        (SAME, (Claim(0.0, returned=True, unanswered=True), Claim(3.0, marked=True)), True),  # the answer was lost
        (SAME, (Claim(0.0), Claim(30.0, marked=True)), False),  # taken over before its time
        (SAME, (Claim(0.0, returned=True), Claim(3.0, marked=True)), False),  # the server answered that it took nothing
        (SAME, (Claim(0.0, marked=True),), False),  # one claim, two mails
        (SAME, (), False),  # the bucket does not tell
        (("<r1@torpor>", "<r1.2@torpor>"), (Claim(0.0), Claim(91.0, marked=True)), False),
        ((*SAME, SAME[0]), (Claim(0.0), Claim(91.0, marked=True)), False),
    ],
)
def test_a_second_mail_breaks_the_promise_unless_the_records_prove_its_window(
    ids: tuple[str, ...], claims: tuple[Claim, ...], proved: bool
) -> None:
    run = replace(kept(), mailed=["r2", *["r1"] * len(ids)], mailings={"r1": Mailing(ids, claims)})
    verdict = judge(run, costly=False)
    assert (verdict.kept, verdict.mailed_again) == (proved, ("r1",) if proved else ())
    assert any("r1 got its mail again" in line for line in reporting.lines(verdict, run)) == proved


async def test_claims_are_read_as_a_mailer_leaves_them() -> None:
    bucket, clock = memory_bucket(), NOON

    class Unanswered(ClaimedMailer):
        async def _deliver(self, *_: object) -> None:
            raise MailError("gone", unanswered=True)

    class Sent(ClaimedMailer):
        async def _deliver(self, *_: object) -> None:
            pass

    key, mail = StepKey(REQUEST, "notify"), EmailMessage()
    mail["To"], mail["Message-ID"] = "you@example.org", f"<{REQUEST}@torpor>"
    with pytest.raises(MailError):
        await Unanswered(Server("h", 25), "me@example.org", bucket, key, lambda: clock).send(mail)
    await Sent(Server("h", 25), "me@example.org", bucket, key, lambda: clock).send(mail)
    at = NOON.timestamp()
    assert await mailing.claims(bucket, str(REQUEST)) == [
        Claim(at, returned=True, unanswered=True),
        Claim(at, marked=True),
    ]
