"""What people send to the gateway and what it answers. No events: these travel over HTTP alone and have no topic."""

from __future__ import annotations

import re
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
