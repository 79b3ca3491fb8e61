"""Answers a sub-question from the collection's documents, and mends what the validator did not find supported."""

from eventing import Context, agent
from functions.research_assistant.ranking import Library, library
from functions.research_assistant.revising import abandoned, hindrance, revised
from functions.research_assistant.writing import claims
from schemas import Collection, PartAbandoned, ResearchQuestion, SummaryReady, ValidationFailed

PASSAGES = 4  # a question
UNREAD = 100  # files that a report names as not used


@agent("research_assistant")
async def handle(event: ResearchQuestion | ValidationFailed, ctx: Context) -> SummaryReady | PartAbandoned:
    """Claims with their passages, or why there are none."""
    if isinstance(event, ValidationFailed):
        reason = hindrance(event, ctx)
        return abandoned(event, reason) if reason else await revised(event, ctx)
    part = {**event.model_dump(include={"request_id", "topic", "part", "of", "question", "metadata"}), "revision": 0}
    collection = event.metadata.sources or ctx.settings.get("sources")
    if not collection:
        return PartAbandoned(**part, reason="no collection of documents was named: set metadata.sources of the request")
    shelf = await library(ctx.bucket, collection)
    part["collection"] = _searched(collection, shelf)
    passages = shelf.best(event.question, event.topic, PASSAGES)
    written = await claims(passages, event.question, ctx.llm)
    if not written:
        many = "document" if shelf.documents == 1 else "documents"
        reason = f"nothing was found on this question in the {shelf.documents} {many} of the collection"
        return PartAbandoned(**part, reason=reason)
    return SummaryReady(**part, claims=tuple(written), passages=tuple(passages), written_by=ctx.llm.name)


def _searched(name: str, shelf: Library) -> Collection:
    """Where was looked, and what could not be used there."""
    more = max(0, len(shelf.unread) - UNREAD)
    return Collection(name=name, documents=shelf.documents, unread=tuple(shelf.unread[:UNREAD]), unread_more=more)
