"""Checks every claim of a part: in code first, then by the model. Doubt wins: both must find it supported.

The model is the one that the setting `judge` names, so that a statement need not be judged by the model that wrote it.
"""

import asyncio

from eventing import Context, agent
from functions.authorship import digest
from functions.validator import checks
from functions.validator.judging import judged
from schemas import Claim, SummaryReady, ValidationFailed, ValidationPassed, Verdict


@agent("validator")
async def handle(summary: SummaryReady, ctx: Context) -> ValidationPassed | ValidationFailed:
    """The part with a verdict on each of its claims."""
    passages = {passage.id: passage for passage in summary.passages}
    judge = ctx.settings.get("judge", "").strip()
    coded = [checks.verdict(number, claim, passages) for number, claim in enumerate(summary.claims)]
    if any(found.verdict != "supported" for found in coded):
        ctx.will_answer(ValidationFailed)

    async def verdict(found: Verdict, claim: Claim) -> Verdict:
        if found.verdict != "supported" or claim.quoted:
            return found
        return await judged(found, claim, passages[claim.passage], ctx.llm, judge)

    verdicts = await asyncio.gather(*map(verdict, coded, summary.claims))
    supported = bool(verdicts) and all(found.verdict == "supported" for found in verdicts)
    same = {name: getattr(summary, name) for name in type(summary).model_fields}
    checked_by = ctx.llm.name if any(found.by == "model" for found in verdicts) else ""
    answer = ValidationPassed if supported else ValidationFailed
    return answer(**same, verdicts=tuple(verdicts), checked_by=checked_by, checked_with=digest(__file__))
