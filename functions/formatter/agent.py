"""Writes the report's page into the bucket and says where people find it."""

from eventing import Context, agent
from functions.formatter.findings import arranged
from functions.formatter.page import rendered
from schemas import ResearchComplete, ResearchResult
from schemas.research import CompletedMetadata


@agent("formatter")
async def handle(result: ResearchResult, ctx: Context) -> ResearchComplete:
    """The page is a function of the result alone, so whoever writes it first has written it."""
    findings = arranged(result)
    page = rendered(findings, str(result.request_id))
    await ctx.bucket.create(f"pages/{result.request_id}/report.html", page.encode(), "text/html; charset=utf-8")
    metadata = {**result.metadata.model_dump(), "link": f"{ctx.public_url}/report/{result.request_id}"}
    return ResearchComplete(
        request_id=result.request_id,
        topic=result.topic,
        summary=findings.summary,
        claims=len(findings.statements),
        parts=len(result.parts),
        parts_abandoned=findings.abandoned,
        metadata=CompletedMetadata(**metadata),
    )
