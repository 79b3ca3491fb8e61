"""The agents of the simulated requests: three that buy words of a model, and the product's own for the rest."""

from __future__ import annotations

from eventing import Context, agent
from functions.aggregator.agent import handle as aggregator
from functions.formatter.agent import handle as formatter
from functions.notifier.agent import handle as notifier
from schemas import (
    PartAbandoned,
    ResearchQuery,
    ResearchQuestion,
    SummaryReady,
    ValidationFailed,
    ValidationPassed,
)


@agent("planner")
async def planner(query: ResearchQuery, ctx: Context) -> list[ResearchQuestion]:
    questions = [await ctx.llm.text(f"question {part}") for part in range(1, query.depth + 1)]
    shared = {"request_id": query.request_id, "topic": query.topic, "of": query.depth, "metadata": query.metadata}
    return [ResearchQuestion(part=part, question=said, **shared) for part, said in enumerate(questions, 1)]


@agent("research_assistant")
async def assistant(asked: ResearchQuestion | ValidationFailed, ctx: Context) -> SummaryReady | PartAbandoned:
    async def now() -> str:
        return ctx.clock().isoformat()

    found = await ctx.once("search", now)
    said = await ctx.llm.text(f"{asked.question}: what was found at {found}?")
    revision = asked.revision + 1 if isinstance(asked, ValidationFailed) else 0
    content = {name: getattr(asked, name) for name in ("request_id", "topic", "part", "of", "question", "metadata")}
    if revision > 2:
        return PartAbandoned(revision=revision, reason=said, **content)
    return SummaryReady(revision=revision, written_by=said, **content)


@agent("validator")
async def validator(summary: SummaryReady, ctx: Context) -> ValidationPassed | ValidationFailed:
    said = await ctx.llm.text(f"is {summary.written_by} true?")
    content = {name: getattr(summary, name) for name in type(summary).model_fields}
    if int(said.rsplit(" ", 1)[1]) % 3 == 0 and summary.revision < 2:
        return ValidationFailed(verdicts=(), checked_by=said, **content)
    return ValidationPassed(checked_by=said, **content)


AGENTS = {found.name: found for found in (planner, assistant, validator, aggregator, formatter, notifier)}
