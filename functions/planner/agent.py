"""Plans a request: its topic becomes `depth` different sub-questions."""

from eventing import Context, agent
from functions.asking import NO_ANSWER
from functions.planner.questions import SYSTEM, chosen, plan_of, prompt
from schemas import ResearchQuery, ResearchQuestion


@agent("planner")
async def handle(query: ResearchQuery, ctx: Context) -> list[ResearchQuestion]:
    """One question per part, from the model where its questions are of use."""
    try:
        asked = prompt(query.topic, query.depth)
        plan = await ctx.llm.answer(plan_of(query.depth), asked, system=SYSTEM, max_tokens=60 * query.depth + 40)
        proposed = plan.questions
    except NO_ANSWER:
        proposed = []
    collection = query.metadata.sources or ctx.settings.get("sources")
    metadata = query.metadata.model_copy(update={"sources": collection})
    questions = chosen(query.topic, proposed, query.depth)
    return [
        ResearchQuestion(
            request_id=query.request_id, topic=query.topic, part=part, of=query.depth, question=question, metadata=metadata
        )
        for part, question in enumerate(questions, 1)
    ]
