"""Everything between agents: envelope, step protocol, publishing, the HTTP adapter, the workflow file and its manifests.

Forbidden here: deciding anything an agent decides, and talking to a model.
"""

from eventing.agent import Agent, Context, StepKey, agent
from eventing.errors import EventingError

__all__ = ["Agent", "Context", "EventingError", "StepKey", "agent"]
