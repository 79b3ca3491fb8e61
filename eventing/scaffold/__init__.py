"""Making what is new: a project of one's own with a pipeline of two agents, and one more agent for a workflow.

Forbidden here: writing over a file that is there, except the workflow file, and that only by a text that was checked.
"""

from eventing.scaffold.agents import new_agent
from eventing.scaffold.errors import ScaffoldError
from eventing.scaffold.projects import new_project

__all__ = ["ScaffoldError", "new_agent", "new_project"]
