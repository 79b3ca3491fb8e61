"""Mistakes in data and in agents' code, as their authors are told of them: in one line, with the mend where it is known."""

from __future__ import annotations

import inspect
from typing import Any

from pydantic import ValidationError

from eventing.errors import ContractError


def faults(error: ValidationError) -> list[dict[str, Any]]:
    """Field, rule and value of everything that a validation found."""
    return [
        {
            "field": ".".join(map(str, fault["loc"])) or "(all)",
            "rule": fault["msg"],
            "value": "absent" if fault["type"] == "missing" else repr(fault["input"])[:80],
        }
        for fault in error.errors(include_url=False, include_context=False)
    ]


def raised(error: BaseException) -> str:
    """An agent's error in a line: its kind and what it says; for a forgotten `await`, that."""
    if not isinstance(error, ValidationError):
        return f"{type(error).__name__}: {error}"
    kind = f"ValidationError of {error.title}"
    for fault in error.errors(include_url=False, include_context=False):
        if inspect.iscoroutine(fault["input"]):
            fault["input"].close()
            return f"{kind}: {'.'.join(map(str, fault['loc']))} is what a call without `await` gives: write it before"
    return str(ContractError(kind, faults(error)))


def given(answer: Any) -> str:
    """What was answered, by its class."""
    if inspect.iscoroutine(answer):
        answer.close()
        return "what a call without `await` gives"
    return f"a {type(answer).__name__}"
