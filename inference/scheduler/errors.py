"""What a caller can be told, in OpenAI's error format.

CallError
  BadCallError          400   the call breaks the API's rules
  UnknownModelError     404   no pool serves the model
  KeyConflictError      409   the call key belongs to another prompt
  BudgetError           402   the request has too few tokens left
  NotInTimeError        503   it cannot be answered by its deadline
  QueueFullError        503   more calls wait than the scheduler takes
  BacklogError          429   more requests are open than the scheduler takes
  JournalError          503   what is bought could not be written down
  ServerError           502   the model servers failed on it, again and again
  RefusedError          as the server said: 400, 413, 422
"""

from __future__ import annotations

from typing import Any, ClassVar


class CallError(Exception):
    """Root of what a call can end with; `status` is its HTTP answer, `code` is for programs."""

    status: int = 500
    code: str = "internal_error"
    kind: ClassVar[str] = "server_error"
    retry_after: float | None = None

    def body(self) -> dict[str, Any]:
        """OpenAI's error object."""
        return {"error": {"message": str(self), "type": self.kind, "param": None, "code": self.code}}


class BadCallError(CallError):
    status, code, kind = 400, "invalid_request_error", "invalid_request_error"


class UnknownModelError(BadCallError):
    status, code = 404, "model_not_found"


class KeyConflictError(BadCallError):
    status, code = 409, "call_key_conflict"


class BudgetError(CallError):
    status, code, kind = 402, "budget_exceeded", "budget_error"


class NotInTimeError(CallError):
    status, code = 503, "not_in_time"


class QueueFullError(CallError):
    status, code, retry_after = 503, "queue_full", 5.0


class BacklogError(CallError):
    status, code, retry_after = 429, "backlog_full", 30.0


class JournalError(CallError):
    status, code, retry_after = 503, "journal_failed", 10.0


class ServerError(CallError):
    status, code = 502, "model_server_failed"


class RefusedError(CallError):
    """The model server understood the call and declined it; asking another server would change nothing."""

    kind = "invalid_request_error"

    def __init__(self, told: str, status: int, code: str) -> None:
        self.status, self.code = status, code or "invalid_request_error"
        super().__init__(told)


class ConfigurationError(Exception):
    """The pools' file cannot be taken; the message names the line and what would be right."""
