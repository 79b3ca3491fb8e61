"""The vocabulary: one frozen model per event, and the JSON Schemas made from them.

Forbidden here: anything but pydantic; a contract knows no transport, no agent and no clock.
A project's own `schemas/` folder (without an __init__.py) lies under the same name: `from schemas.letters import Letter`.
"""

from os.path import exists
from pkgutil import extend_path

__path__ = [*__path__, *(path for path in extend_path(list[str](), __name__) if not exists(f"{path}/__init__.py"))]

from schemas.contract import Contract, UnknownEventError, contract_for, events
from schemas.requests import RequestFailed
from schemas.research import (
    Check,
    Claim,
    Collection,
    Conflict,
    LeftOut,
    PartAbandoned,
    Passage,
    RequestMetadata,
    ResearchComplete,
    ResearchFailed,
    ResearchQuery,
    ResearchQuestion,
    ResearchResult,
    Source,
    StepState,
    SummaryReady,
    Unread,
    ValidationFailed,
    ValidationPassed,
    Verdict,
    WorkflowState,
)

__all__ = [
    "Check",
    "Claim",
    "Collection",
    "Conflict",
    "Contract",
    "LeftOut",
    "PartAbandoned",
    "Passage",
    "RequestFailed",
    "RequestMetadata",
    "ResearchComplete",
    "ResearchFailed",
    "ResearchQuery",
    "ResearchQuestion",
    "ResearchResult",
    "Source",
    "StepState",
    "SummaryReady",
    "UnknownEventError",
    "Unread",
    "ValidationFailed",
    "ValidationPassed",
    "Verdict",
    "WorkflowState",
    "contract_for",
    "events",
]
