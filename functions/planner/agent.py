"""Plans a request: its topic becomes `depth` different sub-questions."""

from eventing import Context, agent
from functions.asking import NO_ANSWER
from functions.planner.questions import MAX_TOKENS, SYSTEM, chosen, grounded, own, plan, prompt
from schemas import ResearchQuery, ResearchQuestion


@agent("planner")
async def handle(query: ResearchQuery, ctx: Context) -> list[ResearchQuestion]:
    """One question per part, from the model where its questions are of use."""
    collection = query.metadata.sources or ctx.settings.get("sources")
    metadata = query.metadata.model_copy(update={"sources": collection})
    questions = chosen(query.topic, await _proposed(query, ctx), query.depth)
    return [
        ResearchQuestion(
            request_id=query.request_id, topic=query.topic, part=part, of=query.depth, question=question, metadata=metadata
        )
        for part, question in enumerate(questions, 1)
    ]


async def _proposed(query: ResearchQuery, ctx: Context) -> list[str]:
    """The model's questions; it need not be asked where the topic asks all the questions that are wanted."""
    if query.depth <= len(own(query.topic, query.depth)):
        return []
    try:
        answer = await ctx.llm.answer(plan(), prompt(query.topic), system=SYSTEM, max_tokens=MAX_TOKENS)
    except NO_ANSWER:
        return []
    return grounded(query.topic, answer.questions, ctx.llm.name)
