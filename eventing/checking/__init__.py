"""What is wrong with a project, found before anything runs: workflow, func.yaml files, contracts, agents and their types.

`python -m eventing.checking` looks at the project in the current folder, in a process of its own, since it imports the
project's code: what that code does then (end the process, never return) is a finding, not an accident. `examine` runs it and
reads what it found.
Forbidden here: changing anything.
"""

from eventing.checking.examining import Findings, examine
from eventing.checking.problem import Problem

__all__ = ["Findings", "Problem", "examine"]
