"""The events that every workflow has."""

from __future__ import annotations

from pydantic import Field

from schemas.contract import Contract


class RequestFailed(Contract, event="request_failed"):
    """The request ended without an answer."""

    reason: str = Field(min_length=1, max_length=2_000)
