"""`torpor chaos`: faults against a running platform, and a verdict on what it promised.

A scenario says what is asked and what goes wrong; the injector does it, the watch sees what becomes of the requests, and the
verdict is a pure function of what was seen. Forbidden here: importing agents, models or the command; whatever is started is
a process of its own. Nothing is killed but what the state folder's records name.
"""

from eventing.chaos.observing import Observations, Seen, Struck
from eventing.chaos.scenario import Fault, Scenario, ScenarioError
from eventing.chaos.verdict import Verdict, judge

__all__ = ["Fault", "Observations", "Scenario", "ScenarioError", "Seen", "Struck", "Verdict", "judge"]
