"""What every contract has in common, and which contract belongs to which event."""

from __future__ import annotations

import importlib
import pkgutil
import sys
from typing import Any, ClassVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict

_EVENTS: dict[str, type[EventData]] = {}
OWN_MODULES = frozenset(
    {"contract", "evolution", "export", "gateway", "platform", "requests", "research"}
)  # names that are taken
_NO_CONTRACTS = frozenset({"contract", "evolution", "export"})


def whole(value: Any) -> Any:
    """A JSON number without a fraction as the integer that it is: JSON Schema takes 2.0 for one."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class UnknownEventError(LookupError):
    """No contract is registered for an event type."""

    def __init__(self, event: str) -> None:
        super().__init__(f"no contract for the event {event!r}; known are: {', '.join(sorted(_EVENTS))}")


class DuplicateEventError(TypeError):
    """Two contracts for one event."""

    def __init__(self, event: str, first: type[EventData]) -> None:
        where = f"{first.__module__}.{first.__qualname__}"
        super().__init__(f"the event {event!r} has a contract already, {where}: name another event")


class EventData(BaseModel):
    """The data of one event.

    Values are taken strictly (the string "2" is no integer). Fields that a reader does not know are ignored, since
    contracts grow by addition: an old reader must accept what a newer writer sends.
    """

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", allow_inf_nan=False)

    event: ClassVar[str] = ""  # the event's type, which is its topic's name too
    version: ClassVar[int] = 1

    def __init_subclass__(cls, event: str = "", version: int = 1, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if event:
            other = _EVENTS.get(event)
            if other and (other.__module__, other.__qualname__) != (cls.__module__, cls.__qualname__):
                raise DuplicateEventError(event, other)
            cls.event, cls.version = event, version
            _EVENTS[event] = cls

    @classmethod
    def dataschema(cls) -> str:
        """The URI reference that an event names as its `dataschema`, for instance `/schemas/summary_ready/v1`."""
        return f"/schemas/{cls.event}/v{cls.version}"


class Contract(EventData):
    """The data of an event of a workflow: it belongs to a request."""

    request_id: UUID


def contract_for(event: str) -> type[Contract]:
    """The contract of an event type.

    Raises:
        UnknownEventError: when no contract is registered for it.
    """
    found = _EVENTS.get(event) or events().get(event)
    if found is None or not issubclass(found, Contract):
        raise UnknownEventError(event)
    return found


def events() -> dict[str, type[Contract]]:
    """Every contract by the type of its event, those of a project's own `schemas/` included."""
    return {event: data for event, data in every_event().items() if issubclass(data, Contract)}


def every_event() -> dict[str, type[EventData]]:
    """The data of every event, of those too that the platform tells of itself."""
    for name in modules():
        importlib.import_module(f"schemas.{name}")
    return dict(sorted(_EVENTS.items()))


def modules() -> list[str]:
    """The modules of `schemas` that may hold contracts."""
    return [m.name for m in pkgutil.iter_modules(sys.modules["schemas"].__path__) if m.name not in _NO_CONTRACTS]
