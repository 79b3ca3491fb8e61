"""Writes the report into the bucket, as a page, as Markdown and as JSON, with its record, and says where people find it."""

from eventing import Context, agent
from eventing.editions import suffix
from functions.formatter.findings import arranged
from functions.formatter.page import parts, rendered
from functions.formatter.record import record
from functions.formatter.texts import as_json, markdown
from functions.records import sha256
from schemas import ResearchComplete, ResearchResult
from schemas.research import CompletedMetadata

KINDS = {"md": "text/markdown", "json": "application/json", "html": "text/html"}


def prepare() -> None:
    """Compile the page's templates."""
    parts()


@agent("formatter")
async def handle(result: ResearchResult, ctx: Context) -> ResearchComplete:
    """The report is a function of the result alone, so whoever writes it first has written it."""
    findings, edition = arranged(result), ctx.key.edition
    forms = {"md": markdown(findings), "json": as_json(findings), "html": rendered(findings, edition)}
    evidence = record(result, edition, forms)
    for ending, text in {"evidence.json": evidence, **forms}.items():
        key = f"pages/{result.request_id}/report{suffix(edition)}.{ending}"
        await ctx.bucket.create(key, text.encode(), f"{KINDS[ending.split('.')[-1]]}; charset=utf-8")
    query = f"?edition={edition}" if edition else ""
    metadata = {**result.metadata.model_dump(), "link": f"{ctx.public_url}/report/{result.request_id}{query}"}
    return ResearchComplete(
        request_id=result.request_id,
        topic=result.topic,
        summary=findings.summary,
        claims=len(findings.statements),
        parts=len(result.parts),
        parts_abandoned=findings.abandoned,
        evidence=sha256(evidence.encode()),
        metadata=CompletedMetadata(**metadata),
    )
