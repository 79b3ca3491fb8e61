"""Writes the report into the bucket, as a page, as Markdown and as JSON, and says where people find it."""

from eventing import Context, agent
from eventing.editions import suffix
from functions.formatter.findings import arranged
from functions.formatter.page import rendered
from functions.formatter.texts import as_json, markdown
from schemas import ResearchComplete, ResearchResult
from schemas.research import CompletedMetadata


@agent("formatter")
async def handle(result: ResearchResult, ctx: Context) -> ResearchComplete:
    """The report is a function of the result alone, so whoever writes it first has written it."""
    findings = arranged(result)
    forms = {
        "md": (markdown(findings), "text/markdown"),
        "json": (as_json(findings), "application/json"),
        "html": (rendered(findings), "text/html"),
    }
    folder = f"pages/{result.request_id}"
    for ending, (text, kind) in forms.items():
        await ctx.bucket.create(
            f"{folder}/report{suffix(ctx.key.edition)}.{ending}", text.encode(), f"{kind}; charset=utf-8"
        )
    edition = f"?edition={ctx.key.edition}" if ctx.key.edition else ""
    metadata = {**result.metadata.model_dump(), "link": f"{ctx.public_url}/report/{result.request_id}{edition}"}
    return ResearchComplete(
        request_id=result.request_id,
        topic=result.topic,
        summary=findings.summary,
        claims=len(findings.statements),
        parts=len(result.parts),
        parts_abandoned=findings.abandoned,
        metadata=CompletedMetadata(**metadata),
    )
