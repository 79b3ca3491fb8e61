"""A workflow as a graph of its agents: who hands which event to whom."""

from __future__ import annotations

from dataclasses import dataclass

from eventing.workflow import Step, Workflow

OPENER = ""  # stands for whoever asks
END = "end"  # stands for whoever waits, where nothing takes the last event


@dataclass(frozen=True)
class Edge:
    """An event on its way between two agents."""

    giver: str
    taker: str
    event: str
    many: bool = False  # several of them, one a part


@dataclass(frozen=True)
class Graph:
    """Agents in the order in which a request meets them, and what passes between them."""

    agents: tuple[str, ...]
    edges: tuple[Edge, ...]
    failures: tuple[Edge, ...]  # what the tracker ends a request with, and who takes it

    def back(self, edge: Edge) -> bool:
        """Whether an edge leads back to where the request has been."""
        return self._at(edge.taker) <= self._at(edge.giver)

    def _at(self, agent: str) -> int:
        return -1 if agent == OPENER else len(self.agents) if agent == END else self.agents.index(agent)


def graph(workflow: Workflow) -> Graph:
    """The graph of a workflow; the order of its file is the order of the agents."""
    agents = tuple(dict.fromkeys(step.agent for step in workflow.steps))
    found = [Edge(OPENER, step.agent, workflow.opens) for step in workflow.steps if workflow.opens in step.takes]
    for step in workflow.steps:
        for event in step.answers:
            takers = [other.agent for other in workflow.steps if event in other.takes]
            found += [Edge(step.agent, taker, event, bool(step.fan_out)) for taker in takers or [END]]
    failures = []
    for event in workflow.tracker.answers if workflow.tracker else ():
        takers = [step.agent for step in workflow.steps if event in step.takes]
        ends = [END] if event in workflow.ends and any(edge.taker == END for edge in found) else []
        failures += [Edge("tracker", taker, event) for taker in takers or ends]
    return Graph(agents, tuple(dict.fromkeys(found)), tuple(dict.fromkeys(failures)))


def per_part(workflow: Workflow) -> frozenset[str]:
    """The agents that work on each part of a request by itself: between the fan-out and the join."""
    front = {event for step in workflow.steps if step.fan_out for event in step.answers}
    found: set[str] = set()
    while steps := [s for s in workflow.steps if front & set(s.takes) and not s.join and s.name not in found]:
        found |= {step.name for step in steps}
        front |= {event for step in steps for event in step.answers}
    return frozenset(step.agent for step in workflow.steps if step.name in found)


def told(workflow: Workflow, agent: str) -> str:
    """What an agent's steps are, in a few words."""
    return ", ".join(_told(step) for step in workflow.steps if step.agent == agent)


def _told(step: Step) -> str:
    bounds = [f"up to {step.fan_out} parts"] if step.fan_out else []
    bounds += ["joins all parts"] if step.join else []
    bounds += [f"at most {step.revisions} times"] if step.revisions else []
    return step.name + (f" ({'; '.join(bounds)})" if bounds else "")
