"""What every contract has in common, and which contract belongs to which event."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

_CONTRACTS: dict[str, type[Contract]] = {}


class UnknownEventError(LookupError):
    """No contract is registered for an event type."""

    def __init__(self, event: str) -> None:
        super().__init__(f"no contract for the event {event!r}; known are: {', '.join(sorted(_CONTRACTS))}")


class Contract(BaseModel):
    """The data of one event.

    Values are taken strictly (the string "2" is no integer). Fields that a reader does not know are ignored, since
    contracts grow by addition: an old reader must accept what a newer writer sends.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    event: ClassVar[str] = ""  # the event's type, which is its topic's name too
    version: ClassVar[int] = 1

    request_id: UUID

    def __init_subclass__(cls, event: str = "", version: int = 1, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if event:
            cls.event, cls.version = event, version
            _CONTRACTS[event] = cls

    @classmethod
    def dataschema(cls) -> str:
        """The URI reference that an event names as its `dataschema`, for instance `/schemas/summary_ready/v1`."""
        return f"/schemas/{cls.event}/v{cls.version}"


def contract_for(event: str) -> type[Contract]:
    """The contract of an event type.

    Raises:
        UnknownEventError: when no contract is registered for it.
    """
    try:
        return _CONTRACTS[event]
    except KeyError:
        raise UnknownEventError(event) from None


def events() -> dict[str, type[Contract]]:
    """Every registered contract by the type of its event."""
    return dict(sorted(_CONTRACTS.items()))
