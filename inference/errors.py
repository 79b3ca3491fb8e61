"""What can go wrong with a model call, and whether doing the step again helps.

InferenceError
  ModelUnavailableError    503  retry     refused, reset, 429, 5xx: nothing came back
    OutOfTimeError         503  retry     the step's time limit or the deadline was reached
    BacklogError           429  retry     the scheduler has as many open requests as it takes
  ModelAnswerError         500  retry     an answer came that is of no use: no JSON, cut short, not the shape asked for
  ModelRefusedError        422  no retry  the server understood and declined: prompt too long, wrong key
    UnknownModelError      422  no retry  it serves no model of that name
    ChangedCallError       422  no retry  the step asked something else under the call's key before
  OutOfBudgetError         422  no retry  the call would spend more tokens than the request has left; it was not bought
  ConfigurationError       422  no retry  the environment names no model, or names it wrongly
"""

from __future__ import annotations

from typing import ClassVar


class InferenceError(Exception):
    """Root of the room's errors: `retry` says whether the step is worth another delivery, `status` is its HTTP answer."""

    retry: ClassVar[bool] = False
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Model call failed"


class ModelUnavailableError(InferenceError):
    retry, status, title = True, 503, "Model unavailable"


class OutOfTimeError(ModelUnavailableError):
    title = "Out of time"


class BacklogError(ModelUnavailableError):
    status, title = 429, "Too many requests"

    def __init__(self, told: str, after: float | None = None) -> None:
        self.after = after
        super().__init__(told)


class ModelAnswerError(InferenceError):
    retry, status, title = True, 500, "Model answered wrongly"


class ModelRefusedError(InferenceError):
    retry, status, title = False, 422, "Model refused"


class UnknownModelError(ModelRefusedError):
    pass


class ChangedCallError(ModelRefusedError):
    pass


class OutOfBudgetError(InferenceError):
    retry, status, title = False, 422, "Out of budget"


class ConfigurationError(InferenceError):
    retry, status, title = False, 422, "No model configured"
