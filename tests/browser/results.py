"""Results that show everything that a report can show."""

from __future__ import annotations

from uuid import UUID

from schemas import (
    Check,
    Claim,
    Collection,
    Conflict,
    LeftOut,
    PartAbandoned,
    Passage,
    ResearchResult,
    Source,
    StepState,
    Unread,
    ValidationPassed,
    Verdict,
)

CONFLICT = Conflict(passage="p2", reason="1,216 bytes there, 1,184 bytes here")
LONG = "Which attacks, risks, weaknesses and open problems are known of hybrid key exchange in TLS, and who says so?"
RULES = (
    "numbers",
    "names",
    "quotations",
    "words",
    "bearers",
    "subjects",
    "splices",
    "denial",
    "comparisons",
    "generality",
    "kinds",
)


def full(request_id: UUID) -> ResearchResult:
    """Statements quoted and written, refused and lost, a part given up, files not used, time and cost."""
    searched = Collection(
        name="notes",
        documents=12,
        unread=(
            Unread(path="minutes.pdf", reason="protected by a password; save a copy without it"),
            Unread(path="scans/2019/letter.pdf", reason="3 pages without text, a scan it seems; run OCR on it first"),
        ),
        unread_more=4,
    )
    first = _part(request_id, 1, "What is hybrid key exchange?", searched, _claims(), _verdicts())
    kept = (Claim(text="Chrome and Firefox support it.", passage="p2", quoted=False),)
    second = _part(request_id, 2, LONG, searched, kept, (_verdict(0, "not_in_passage", "the name firefox is not there"),))
    second = second.model_copy(update={"left_out": (_gone(),)})
    given_up = PartAbandoned(
        **dict(_part(request_id, 3, "Who pays?", searched)), reason="nothing was found on this question"
    )
    parts = (first, PartAbandoned(**dict(second), reason="1 of 2 statements were not supported after 2 revisions"), given_up)
    return ResearchResult(request_id=request_id, topic="Hybrid key exchange in TLS", parts=parts, steps=_steps())


def _part(request_id, part, question, searched, claims=(), verdicts=()) -> ValidationPassed:
    return ValidationPassed(
        request_id=request_id,
        topic="Hybrid key exchange in TLS",
        part=part,
        of=3,
        revision=0,
        question=question,
        claims=claims,
        passages=_passages(),
        written_by="small-writer-135m",
        collection=searched,
        verdicts=verdicts,
        checked_by="large-judge-70b",
    )


def _claims() -> tuple[Claim, ...]:
    return (
        Claim(
            text="Hybrid key exchange combines a classical and a post-quantum mechanism.",
            passage="p1",
            conflicts=(CONFLICT,),
        ),
        Claim(text="The client share takes 1,216 bytes.", passage="p2", quoted=True),
    )


def _verdict(claim: int, verdict: str, reason: str) -> Verdict:
    checks = tuple(Check(name=name, passed=verdict == "supported" or name != "names", said=reason) for name in RULES)
    asked = (
        (Check(name="model", passed=True, said="supported: the text gives 1184 bytes"),) if verdict == "supported" else ()
    )
    return Verdict(claim=claim, verdict=verdict, reason=reason, by="model" if asked else "code", checks=checks + asked)


def _gone() -> LeftOut:
    text = "Every browser uses hybrid key exchange with a share of 1,316 bytes."
    return LeftOut(text=text, passage="p2", verdict="contradicted", reason="the number 1316 is not in the passage")


def _verdicts() -> tuple[Verdict, ...]:
    word_for_word = (Check(name="word for word", passed=True),)
    return (
        _verdict(0, "supported", "code and model find it in the passage"),
        Verdict(claim=1, verdict="supported", reason="word for word", by="code", checks=word_for_word),
    )


def _passages() -> tuple[Passage, ...]:
    note = Source(id="notes/hybrid.md", title="Hybrid key exchange", authors="Ada Otter, Ben Beaver", year=2025)
    paper = Source(id="paper.pdf", title="A PDF of many pages", year=2024, references=("RFC 8446", "FIPS 203"))
    return (
        Passage(
            id="p1",
            source=note,
            text="A hybrid combines a classical and a post-quantum mechanism. It is secure while one of them is.",
            offset=420,
            under="Idea › Definition",
            before="Two mechanisms can be combined.",
            after="The order in which the secrets are joined matters.",
        ),
        Passage(id="p2", source=paper, text="The client share takes 1,216 bytes. Chrome supports it.", offset=9000, page=7),
    )


def _steps() -> tuple[StepState, ...]:
    told = [
        ("plan", "planner", 0, 2_100, 310, True),
        ("research", "research_assistant", 9, 6_400, 1_250, True),
        ("validate", "validator", 14, 3_000, 420, True),
        ("revise", "research_assistant", 21, 2_200, 300, False),
    ]
    return tuple(
        StepState(
            step=step,
            agent=agent,
            part=1,
            at=f"2026-11-23T14:00:{at + 10:02d}+00:00",
            duration_ms=ms,
            tokens=tokens,
            cost=tokens * 0.6e-6,
            currency="EUR",
            coldstart=cold,
            event="x",
        )
        for step, agent, at, ms, tokens, cold in told
    )
