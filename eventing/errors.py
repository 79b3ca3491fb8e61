"""What can go wrong with an event, and whether sending it again helps.

EventingError
  NotACloudEventError      400  the request carries no CloudEvent
  ContractError            422  its data breaks the contract (or its type has none)
  BadKeyError              422  no object of a store can have such a key
  StepConflictError        422  the step was done before, with another input
  PayloadTooLargeError     413
  NotNowError              503  could not be done now; the broker delivers it again
    StoreError             503
    PublishError           503
  AgentError               500  the agent failed; the broker delivers it again
    WrongAnswerError       422  the agent answered with what its step may not answer
  FetchError                    something of the web could not be had (said in reports, never over HTTP)
  WorkflowError                 the workflow file cannot work (never over HTTP)
  ConfigurationError            the environment lacks or contradicts something
"""

from __future__ import annotations

from typing import Any, ClassVar


def retried(status: int) -> bool:
    """Whether Eventing delivers an event again after such an answer."""
    return status >= 500 or status in (404, 408, 409, 429)


class EventingError(Exception):
    """Root of the room's errors; `status` is the HTTP answer, which tells the broker whether to try again."""

    status: ClassVar[int] = 500
    title: ClassVar[str] = "Failed"

    def problem(self) -> dict[str, Any]:
        """The error as problem+json (RFC 9457)."""
        return {"type": "about:blank", "title": self.title, "status": self.status, "detail": str(self)}


class NotACloudEventError(EventingError):
    status, title = 400, "Not a CloudEvent"


class PayloadTooLargeError(EventingError):
    status, title = 413, "Too large"


class UnsupportedMediaTypeError(EventingError):
    status, title = 415, "Unsupported content type"


class ContractError(EventingError):
    """`errors` names each field, the rule it breaks and the value that breaks it."""

    status, title = 422, "Contract broken"

    def __init__(self, what: str, errors: list[dict[str, Any]] | None = None) -> None:
        self.errors = errors or []
        told = "; ".join(f"{e['field']}: {e['rule']} (got {e['value']})" for e in self.errors)
        super().__init__(f"{what}: {told}" if told else what)

    def problem(self) -> dict[str, Any]:
        return {**super().problem(), **({"errors": self.errors} if self.errors else {})}


class BadKeyError(EventingError):
    status, title = 422, "Impossible key"


class StepConflictError(EventingError):
    status, title = 422, "Another input for a step that is done"


class NotNowError(EventingError):
    """`after` so many seconds it is worth asking again."""

    status, title = 503, "Not now"
    after: ClassVar[float] = 5.0


class StoreError(NotNowError):
    title = "Store unavailable"


class PublishError(NotNowError):
    title = "Broker unavailable"


class AgentError(EventingError):
    status, title = 500, "Agent failed"


class WrongAnswerError(AgentError):
    status, title = 422, "Answer not in the workflow"


class WorkflowError(EventingError):
    title = "Workflow refused"


class ConfigurationError(EventingError):
    title = "Configuration"
