"""What an agent may meet when it asks the model: no answer of use, a budget used up, a model too small for what is asked.

An unavailable model is none of these: its error passes through the agent, and the event is delivered again.
"""

import re

from inference.errors import ModelAnswerError, OutOfBudgetError

NO_ANSWER = (ModelAnswerError, OutOfBudgetError)

_MILLIONS = re.compile(r"(?<![\d.])\d+(?:\.\d+)?\s?m(?![a-z])", re.IGNORECASE)


def small(model: str) -> bool:
    """Whether a model's name counts its parameters in millions: what such a model adds to a text is not to be relied on."""
    return bool(_MILLIONS.search(model))


__all__ = ["NO_ANSWER", "small"]
