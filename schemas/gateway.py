"""What people send to the gateway and what it answers. No events: these travel over HTTP alone and have no topic."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from schemas.research import Depth, RequestMetadata

_SAYS = r"\S"  # one character that is no blank


def _said(text: str) -> str:
    if not re.search(_SAYS, text):
        raise ValueError("must say something: it holds nothing but blanks")
    return text


class ResearchRequest(BaseModel):
    """What a person or a foreign producer sends; fields that are not known are refused."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    request_id: UUID | None = Field(None, description="chosen by whoever may have to send the request again")
    topic: Annotated[str, Field(min_length=1, max_length=2_000, json_schema_extra={"pattern": _SAYS}), AfterValidator(_said)]
    depth: Depth = 2
    metadata: RequestMetadata = RequestMetadata()


class Accepted(BaseModel):
    """The request was taken, and is not done yet."""

    request_id: UUID


class TrailEvent(BaseModel):
    """One event of a request: its CloudEvents attributes, and the fields of its data that tell its story."""

    model_config = ConfigDict(extra="allow")

    specversion: str
    id: str
    source: str
    type: str
    notes: dict[str, Any]


class DeadLetter(BaseModel):
    """An event that nobody could handle."""

    letter: str = Field(description="its name; names of later letters are greater")
    request_id: UUID | None = Field(description="null where the event names none")
    event: str = Field(description="its type")
    id: str
    step: str | None = Field(description="the step that failed, where the letter tells it")
    agent: str | None
    part: int | None = None
    revision: int = 0
    edition: int = 0
    reason: str
    error: str = Field("", description="class of the error, as the agent named it")
    code: int | None = Field(None, description="the last answer's status; null where there was none")
    since: datetime = Field(description="when it became a dead letter")
    attempts: int = Field(description="how often it was tried, by the workflow's delivery settings")
    steps: int = Field(0, description="steps of the request that are done, and are not done again")
    tokens: int = Field(0, description="tokens paid for these steps")
    cost: float = Field(0.0, description="money paid for these steps, where a price is known")
    currency: str = ""
    calls: int = Field(0, description="model calls of the failed step that were answered, and are not bought again")
    redriven: str = Field("", description="as what it was sent again: `edition N`, or `again`; empty until then")


class DeadLetters(BaseModel):
    """A page of dead letters."""

    letters: list[DeadLetter]
    next: str | None = Field(description="`after` of the next page, which may be there even where this one is short")


class SentEvent(BaseModel):
    """One event that was sent again, to one agent."""

    event: str
    id: str
    agent: str | None = Field(description="the agent that alone takes it; null where any may")
    part: int | None = None


class Redriven(BaseModel):
    """What was sent again."""

    request_id: UUID
    edition: int = Field(description="the request's edition that goes on")
    opened: bool = Field(description="whether that edition is a new one")
    deadline: datetime | None = Field(description="when it must have ended")
    parts: list[int] = Field(description="parts that are done anew, since they had been abandoned")
    letters: int = Field(description="dead letters that are sent again with it")
    sent: list[SentEvent]


class Fault(BaseModel):
    """One field that breaks a rule."""

    field: str
    rule: str
    value: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Fault] = []
