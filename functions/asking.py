"""What an agent may meet when it asks the model, and can do without: an answer of no use, and a budget used up.

An unavailable model is neither: its error passes through the agent, and the event is delivered again.
"""

from inference.errors import ModelAnswerError, OutOfBudgetError

NO_ANSWER = (ModelAnswerError, OutOfBudgetError)

__all__ = ["NO_ANSWER"]
