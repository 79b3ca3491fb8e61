"""The vocabulary: one frozen model per event, and the JSON Schemas made from them.

Forbidden here: anything but pydantic; a contract knows no transport, no agent and no clock.
"""

from schemas.contract import Contract, UnknownEventError, contract_for, events
from schemas.research import (
    Claim,
    PartAbandoned,
    Passage,
    RequestMetadata,
    ResearchComplete,
    ResearchFailed,
    ResearchQuery,
    ResearchQuestion,
    ResearchResult,
    Source,
    SummaryReady,
    ValidationFailed,
    ValidationPassed,
    Verdict,
    WorkflowState,
)

__all__ = [
    "Claim",
    "Contract",
    "PartAbandoned",
    "Passage",
    "RequestMetadata",
    "ResearchComplete",
    "ResearchFailed",
    "ResearchQuery",
    "ResearchQuestion",
    "ResearchResult",
    "Source",
    "SummaryReady",
    "UnknownEventError",
    "ValidationFailed",
    "ValidationPassed",
    "Verdict",
    "WorkflowState",
    "contract_for",
    "events",
]
