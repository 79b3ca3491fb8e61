"""Joins the parts of a request, in the order in which they were asked."""

from collections.abc import Sequence

from eventing import Context, agent
from schemas import PartAbandoned, ResearchResult, ValidationPassed


@agent("aggregator")
async def handle(parts: Sequence[ValidationPassed | PartAbandoned], ctx: Context) -> ResearchResult:
    """All parts, whichever came first."""
    ordered = sorted(parts, key=lambda part: part.part)
    first = ordered[0]
    return ResearchResult(
        request_id=first.request_id,
        topic=first.topic,
        parts=tuple(ordered),
        metadata=first.metadata,
        steps=tuple(await ctx.steps()),
    )
