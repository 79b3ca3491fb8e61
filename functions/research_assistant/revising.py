"""What becomes of a part whose claims were not all found supported: another revision, or its end."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

from functions.asking import small
from functions.authorship import digest
from functions.research_assistant.conflicts import marked
from functions.research_assistant.quoting import quotation
from functions.research_assistant.writing import MAX_TOKENS, rewritten
from schemas import Claim, LeftOut, PartAbandoned, SummaryReady, ValidationFailed

if TYPE_CHECKING:
    from eventing import Context

LAST = 2  # revisions that a part may have
TOKENS = 800 + MAX_TOKENS  # what writing one claim again may cost
TIME = timedelta(seconds=90)  # what a revision and the rest of the workflow need


def hindrance(event: ValidationFailed, ctx: Context) -> str:
    """Why there can be no further revision; empty where there can."""
    failing = len(failed(event))
    if event.revision >= LAST:
        return f"{failing} of {len(event.claims)} statements were not supported after {LAST} revisions"
    if ctx.deadline - ctx.clock() < TIME:
        return (
            f"{failing} of {len(event.claims)} statements were not supported, and the deadline left no time to revise them"
        )
    if event.revision + 1 < LAST and ctx.budget_tokens < TOKENS * failing:
        return f"{failing} of {len(event.claims)} statements were not supported, and the token budget was used up"
    return ""


async def revised(event: ValidationFailed, ctx: Context) -> SummaryReady:
    """The part with its failing claims written again, in the last revision quoted; the others stay as they are."""
    reasons = failed(event)
    passages = {passage.id: passage for passage in event.passages}

    last = event.revision + 1 >= LAST
    writer = ctx.settings.get("writer", "").strip()
    quoting = last or (not writer and small(await ctx.llm.served()))

    async def mended(number: int, claim: Claim) -> Claim | None:
        passage = passages.get(claim.passage)
        if number not in reasons or passage is None:
            return claim if passage else None
        if not quoting:
            return await rewritten(claim, passage, event.question, reasons[number], ctx.llm, writer)
        return quotation(passage, event.question, event.claims)

    claims = [claim for claim in await asyncio.gather(*(mended(*pair) for pair in enumerate(event.claims))) if claim]
    same = {"request_id", "topic", "part", "of", "question", "passages", "too_small", "collection", "metadata"}
    kept = event.model_dump(include=same)
    written_by = event.written_by or ctx.llm.name
    out = left_out(event, {n for n in reasons if last or event.claims[n].passage not in passages})
    return SummaryReady(
        **kept,
        revision=event.revision + 1,
        claims=tuple(marked(claims, event.passages)),
        written_by=written_by,
        left_out=out,
        written_with=digest(__file__),
    )


def abandoned(event: ValidationFailed, reason: str) -> PartAbandoned:
    """The part given up, with the claims that were found supported and their verdicts."""
    reasons = failed(event)
    kept = [n for n in range(len(event.claims)) if n not in reasons]
    place = {old: new for new, old in enumerate(kept)}
    verdicts = [v.model_copy(update={"claim": place[v.claim]}) for v in event.verdicts if v.claim in place]
    kept_fields = {
        "request_id",
        "topic",
        "part",
        "of",
        "revision",
        "question",
        "written_by",
        "written_with",
        "too_small",
        "collection",
        "metadata",
    }
    same = event.model_dump(include=kept_fields)
    claims = tuple(event.claims[n] for n in kept)
    out = left_out(event, set(reasons))
    named = {claim.passage for claim in claims} | {gone.passage for gone in out}
    named |= {conflict.passage for claim in claims for conflict in claim.conflicts}
    told = tuple(p for p in event.passages if p.id in named)
    same |= {"verdicts": tuple(verdicts), "checked_by": event.checked_by, "checked_with": event.checked_with}
    return PartAbandoned(**same, reason=reason, claims=claims, passages=told, left_out=out)


def left_out(event: ValidationFailed, which: set[int]) -> tuple[LeftOut, ...]:
    """What the part has left out so far, and those of its failing claims, each with the verdict on it."""
    found = {verdict.claim: verdict.verdict for verdict in event.verdicts}
    gone = [
        LeftOut(
            text=event.claims[n].text,
            passage=event.claims[n].passage,
            verdict="contradicted" if found.get(n) == "contradicted" else "not_in_passage",
            reason=why,
        )
        for n, why in failed(event).items()
        if n in which
    ]
    return (*event.left_out, *gone)


def failed(event: ValidationFailed) -> dict[int, str]:
    """Index and reason of every claim that is not known to be supported."""
    found = {verdict.claim: verdict for verdict in event.verdicts}
    reasons = {n: found[n].reason if n in found else "it was not judged" for n in range(len(event.claims))}
    return {n: why for n, why in reasons.items() if n not in found or found[n].verdict != "supported"}
