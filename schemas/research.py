"""The events of the research workflow, in the order in which a request meets them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from schemas.contract import Contract, whole

Part = Annotated[int, Field(ge=1, le=5, description="which part of the request, counted from 1")]
Parts = Annotated[int, Field(ge=1, le=5, description="how many parts the request has")]
Revision = Annotated[int, Field(ge=0, le=9, description="how often the part was revised")]
Depth = Annotated[int, Field(ge=1, le=5, description="how many sub-questions"), BeforeValidator(whole)]
Text = Annotated[str, Field(min_length=1, max_length=20_000)]


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)


class RequestMetadata(_Value):
    """What a producer says about a request; open, these fields have a meaning."""

    model_config = ConfigDict(frozen=True, strict=True, extra="allow", allow_inf_nan=False)

    email: str | None = Field(
        None, max_length=254, pattern=r"^[^@\s<>,;:\"\\]+@[^@\s<>,;:\"\\]+$", description="where the report's link is sent"
    )
    sources: str | None = Field(
        None, pattern=r"^[A-Za-z0-9._-]{1,128}$", description="the collection of documents to work from"
    )
    fresh: bool = Field(
        False, description="look at the web anew: use nothing found for earlier requests, keep nothing for later"
    )


class ResearchQuery(Contract, event="research_requests"):
    """A question to be researched."""

    topic: str = Field(min_length=1, max_length=2_000)
    depth: Depth
    metadata: RequestMetadata = RequestMetadata()


class ResearchQuestion(Contract, event="research_questions"):
    """One sub-question of a request."""

    topic: str = Field(min_length=1, max_length=2_000)
    part: Part
    of: Parts
    question: str = Field(min_length=1, max_length=2_000)
    metadata: RequestMetadata = RequestMetadata()


class Source(_Value):
    """A document that passages come from."""

    id: str = Field(min_length=1, description="the document's path in its collection, or its URL")
    title: Text
    authors: str = ""
    year: int | None = None
    references: tuple[str, ...] = ()


class Passage(_Value):
    """A piece of a source, quoted word for word."""

    id: str = Field(min_length=1, description="digest of source and text, in hexadecimal")
    source: Source
    text: Text
    offset: int = Field(ge=0, description="where it starts in the source, in characters")
    page: int | None = Field(None, ge=1, description="the page that it starts on, where the source has pages")
    under: str = Field("", max_length=1_000, description="the headings that it stands under")
    before: str = Field("", max_length=1_000, description="the words that stand before it")
    after: str = Field("", max_length=1_000, description="the words that follow it")


class Unread(_Value):
    """A file of a collection that was not used, wholly or in part, and why."""

    path: str = Field(min_length=1, max_length=500)
    reason: str = Field(min_length=1, max_length=500)


class Collection(_Value):
    """Where passages were looked for."""

    name: str
    documents: int = Field(ge=0, description="how many documents were read")
    unread: tuple[Unread, ...] = Field((), max_length=100)
    unread_more: int = Field(0, ge=0, description="how many more there are than `unread` names")


class Conflict(_Value):
    """A passage that says otherwise than the one that a claim rests on."""

    passage: str = Field(description="id of a passage of the same summary")
    reason: str = Field(min_length=1, max_length=500, description="what the two say, for people: 400 against 450 pieces")


class Claim(_Value):
    """One statement and the passage that it rests on."""

    text: str = Field(min_length=1, max_length=2_000)
    passage: str = Field(description="id of a passage of the same summary")
    quoted: bool = Field(False, description="the statement is the passage's own words")
    conflicts: tuple[Conflict, ...] = Field((), max_length=20, description="passages that say otherwise of the same thing")


class Check(_Value):
    """One check of one claim, and what it came to."""

    name: str = Field(min_length=1, max_length=40)
    passed: bool
    said: str = Field("", max_length=500, description="the fault that was found, or the model's answer")


class Verdict(_Value):
    """What the check of one claim came to."""

    claim: int = Field(ge=0, description="index of the claim")
    verdict: Literal["supported", "contradicted", "not_in_passage"]
    reason: str = Field(min_length=1, max_length=2_000)
    by: Literal["code", "model"]
    checks: tuple[Check, ...] = Field((), description="every check that was made, in their order")


class LeftOut(_Value):
    """A statement that is not in the report, since it was not found supported however it was written."""

    text: str = Field(min_length=1, max_length=2_000)
    passage: str = Field(description="id of the passage that it was made from; of the same part, where that is kept")
    verdict: Literal["contradicted", "not_in_passage"]
    reason: str = Field(min_length=1, max_length=2_000)


class _Part(Contract):
    topic: str = Field(min_length=1, max_length=2_000)
    part: Part
    of: Parts
    revision: Revision
    question: str = Field(min_length=1, max_length=2_000)
    claims: tuple[Claim, ...] = ()
    passages: tuple[Passage, ...] = ()
    written_by: str = Field("", description="name of the model that wrote the claims")
    written_with: str = Field("", max_length=64, description="digest of the prompts, and of the code around them")
    too_small: str = Field("", description="name of the model that was not asked to write, since it is too small for that")
    collection: Collection | None = Field(None, description="where the passages were looked for")
    left_out: tuple[LeftOut, ...] = Field((), description="what could not be supported, and is no claim any more")
    metadata: RequestMetadata = RequestMetadata()


class SummaryReady(_Part, event="summary_ready"):
    """What was found on one sub-question, not yet checked."""


class ValidationPassed(_Part, event="validation_passed"):
    """A part of which every claim was found supported."""

    verdicts: tuple[Verdict, ...] = ()
    checked_by: str = Field("", description="name of the model that judged, where one did")
    checked_with: str = Field("", max_length=64, description="digest of the rules, and of the question to that model")


class ValidationFailed(_Part, event="validation_failed"):
    """A part with at least one claim that was not found supported."""

    verdicts: tuple[Verdict, ...]
    checked_by: str = ""
    checked_with: str = Field("", max_length=64)


class PartAbandoned(_Part, event="part_abandoned"):
    """A part that is given up; the claims that were found supported are kept, with their verdicts."""

    reason: str = Field(min_length=1, max_length=2_000)
    verdicts: tuple[Verdict, ...] = ()
    checked_by: str = ""
    checked_with: str = Field("", max_length=64)


class StepState(_Value):
    """One step of a request that is done."""

    step: str
    agent: str
    part: int | None = None
    revision: int = 0
    at: str = Field(description="when it was done, RFC 3339")
    duration_ms: int | None = None
    tokens: int | None = None
    refused_calls: int = Field(0, ge=0, description="model calls that the request's token budget had no room for")
    coldstart: bool = False
    event: str = Field(description="type of the event that it answered with")
    cost: float = Field(0.0, ge=0, description="of its model calls, as the scheduler says; 0 where no price is known")
    currency: str = Field("", pattern=r"^([A-Z]{3})?$", description="of the cost: EUR, USD, ...")


class ResearchResult(Contract, event="research_results"):
    """All parts of a request, joined."""

    topic: str = Field(min_length=1, max_length=2_000)
    parts: tuple[ValidationPassed | PartAbandoned, ...] = Field(min_length=1)
    steps: tuple[StepState, ...] = Field((), description="what was done for it so far, and what each step cost")
    price: str = Field("", max_length=40, description="not filled any more: each step says its cost")
    metadata: RequestMetadata = RequestMetadata()


class CompletedMetadata(RequestMetadata):
    """The request's metadata and where its report is."""

    link: str = Field(min_length=1, description="URL of the report")


class ResearchComplete(Contract, event="research_complete"):
    """The report is written and lies in the bucket."""

    topic: str = Field(min_length=1, max_length=2_000)
    summary: Text = Field(description="the report in a few sentences of plain text")
    claims: int = Field(ge=0, description="how many claims the report makes")
    parts: int = Field(ge=1)
    parts_abandoned: int = Field(ge=0)
    evidence: str = Field(
        "", pattern=r"^([0-9a-f]{64})?$", description="SHA-256 of the record that the report is audited by"
    )
    metadata: CompletedMetadata


class ResearchFailed(Contract, event="research_failed"):
    """The request ended without a report."""

    topic: str = Field("", max_length=2_000)
    reason: str = Field(min_length=1, max_length=2_000)
    metadata: RequestMetadata = RequestMetadata()


class WorkflowState(Contract, event="workflow_state"):
    """Where a request stands: the fold of its events, the same for any order of them."""

    status: Literal["running", "complete", "failed"]
    topic: str = ""
    events: int = Field(ge=0, description="how many events the state is made from")
    deadline: str | None = Field(None, description="RFC 3339")
    parts: int | None = None
    parts_done: int = 0
    parts_abandoned: int = 0
    tokens: int = 0
    steps: tuple[StepState, ...] = ()
    reason: str | None = None
    link: str | None = None
    edition: int = Field(0, ge=0, description="how often it was taken up again after it had ended")
