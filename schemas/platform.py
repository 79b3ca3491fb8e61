"""What the platform tells of itself: events that belong to no request, on a topic of their own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.contract import EventData


class BreakerChanged(EventData, event="platform_events"):
    """The circuit breaker of a model server changed."""

    server: str = Field(min_length=1, max_length=120, description="the server's name in the scheduler's pools")
    state: Literal["open", "half-open", "closed"]
