"""A workflow as Mermaid text, for pages that draw it themselves."""

from __future__ import annotations

from eventing.apis.graph import END, OPENER, Edge, graph, told
from eventing.workflow import Workflow


def text(workflow: Workflow) -> str:
    """The flowchart."""
    found = graph(workflow)
    lines = [f"%% Generated from eventing/workflows/{workflow.name}.yaml by `make apis`.", "flowchart TD"]
    lines.append("    asker([a request])")
    lines += [
        f'    {_node(agent)}["<b>{agent.replace("_", " ")}</b><br/>{told(workflow, agent)}"]' for agent in found.agents
    ]
    if any(edge.taker == END for edge in found.edges):
        lines.append("    done([done])")
    lines += [_arrow(edge, found.back(edge)) for edge in found.edges]
    if workflow.tracker:
        lines.append('    hearer[["<b>tracker</b><br/>hears every event and every dead letter"]]')
        lines += [f"    hearer -->|{edge.event}| {_node(edge.taker)}" for edge in found.failures]
    return "\n".join(lines) + "\n"


def _node(agent: str) -> str:
    """A node's name; some words, such as `end`, mean something to Mermaid."""
    return {OPENER: "asker", END: "done"}.get(agent, f"agent_{agent}")


def _arrow(edge: Edge, back: bool) -> str:
    return f"    {_node(edge.giver)} {'-.->' if back else '==>' if edge.many else '-->'}|{edge.event}| {_node(edge.taker)}"
