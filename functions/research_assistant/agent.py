"""Answers a sub-question from the collection's documents, and mends what the validator did not find supported.

The model that the setting `writer` names may write from several passages at once; else each claim is made of one passage.
"""

import asyncio
import importlib

from eventing import Context, agent
from eventing.agent import Model
from functions.asking import small
from functions.authorship import digest
from functions.research_assistant.composing import composed
from functions.research_assistant.conflicts import marked
from functions.research_assistant.gathering import gathered
from functions.research_assistant.quoting import quotations
from functions.research_assistant.ranking import Library, best, library
from functions.research_assistant.revising import abandoned, hindrance, revised
from functions.research_assistant.writing import claims
from schemas import Claim, Collection, PartAbandoned, Passage, ResearchQuestion, SummaryReady, ValidationFailed

PASSAGES = 4  # that claims are made of, a question
LOOKED_AT = 10  # passages in which it is looked whether a source says otherwise
UNREAD = 100  # files that a report names as not used


def prepare() -> None:
    """Load what every question needs; it takes a fifth of a second."""
    for name in ("rank_bm25", "urllib3", "yaml"):
        importlib.import_module(name)


@agent("research_assistant")
async def handle(event: ResearchQuestion | ValidationFailed, ctx: Context) -> SummaryReady | PartAbandoned:
    """Claims with their passages, or why there are none."""
    if isinstance(event, ValidationFailed):
        reason = hindrance(event, ctx)
        if reason:
            return abandoned(event, reason)
        ctx.will_answer(SummaryReady)
        return await revised(event, ctx)
    part = {**event.model_dump(include={"request_id", "topic", "part", "of", "question", "metadata"}), "revision": 0}
    collection, web = event.metadata.sources or ctx.settings.get("sources"), _switched_on(ctx)
    if not collection and not web:
        reason = "no collection of documents was named: set metadata.sources of the request, or TORPOR_SETTING_WEB"
        return PartAbandoned(**part, reason=reason)
    shelf = await library(ctx.bucket, collection) if collection else Library(0, ())
    if web:
        more = await gathered(event.question, web, event.metadata.fresh, ctx)
        shelf = await asyncio.to_thread(shelf.joined, *more)
    part["collection"] = _searched(collection or "web", shelf)
    found = await best(shelf, event.question, event.topic, LOOKED_AT)
    writer = ctx.settings.get("writer", "").strip()
    if found and not writer:
        ctx.will_answer(SummaryReady)  # where the model is of no use, passages are quoted; a writer may find nothing
    too_small = "" if writer else await _too_small(ctx.llm)
    written = marked(await _written(found, event, ctx.llm, writer, too_small), found)
    if not written:
        many = "document" if shelf.documents == 1 else "documents"
        where = "that were read" if web else "of the collection"
        reason = f"nothing was found on this question in the {shelf.documents} {many} {where}"
        return PartAbandoned(**part, reason=reason)
    part |= {"written_by": ctx.llm.name, "written_with": digest(__file__), "too_small": too_small}
    otherwise = {conflict.passage for claim in written for conflict in claim.conflicts}
    cited = otherwise | {claim.passage for claim in written}
    told = [passage for n, passage in enumerate(found) if n < PASSAGES or passage.id in cited]
    return SummaryReady(**part, claims=tuple(written), passages=tuple(told))


async def _too_small(llm: Model) -> str:
    """The name of a model that counts in millions: what it makes of a sentence is a copy, or is not to be relied on."""
    name = await llm.served()
    return name if small(name) else ""


async def _written(passages: list[Passage], asked: ResearchQuestion, llm: Model, writer: str, too_small: str) -> list[Claim]:
    """Claims, each with its passage: named by the model that is trusted with that, else assigned in code."""
    if too_small:
        return quotations(passages, asked.question, asked.topic, PASSAGES)
    first = passages[:PASSAGES]
    together = await composed(first, asked.question, llm, writer) if writer else None
    return await claims(first, asked.question, llm) if together is None else together


def _switched_on(ctx: Context) -> tuple[str, ...]:
    """The sources beyond collections that the setting `web` names, each once."""
    return tuple(dict.fromkeys(ctx.settings.get("web", "").replace(",", " ").split()))


def _searched(name: str, shelf: Library) -> Collection:
    """Where was looked, and what could not be used there."""
    more = max(0, len(shelf.unread) - UNREAD)
    return Collection(name=name, documents=shelf.documents, unread=tuple(shelf.unread[:UNREAD]), unread_more=more)
