"""Putting one more step into the text of a workflow file; every other character of it stays as it is."""

from __future__ import annotations

import yaml

from eventing.workflow import Workflow


def with_step(text: str, workflow: Workflow, agent: str, takes: str, answers: str) -> str:
    """The text with a step; where its agent takes an end that no step takes, its answer is the end from now on."""
    last = takes in workflow.ends and takes != workflow.fails and not any(takes in step.takes for step in workflow.steps)
    step = [f"  {agent}:", f"    agent: {agent}", f"    takes: [{takes}]", f"    answers: [{answers}]", "    time_limit: 1m"]
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    assert isinstance(root, yaml.MappingNode)
    at = {key.value: value for key, value in root.value}
    edits = [_after(text, at["steps"], "\n".join(step) + "\n")]
    if last:
        end = next(node for node in at["ends"].value if node.value == takes)
        edits.append((end.start_mark.index, end.end_mark.index, answers))
    elif "offers" in at:
        edits.append((at["offers"].start_mark.index, at["offers"].end_mark.index, _listed(workflow, answers)))
    else:
        edits.append(_after(text, at["ends"], f"offers: [{answers}]  # made for whoever listens\n"))
    for start, stop, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[stop:]
    return text


def _listed(workflow: Workflow, more: str) -> str:
    return f"[{', '.join([*workflow.offers, more])}]"


def _after(text: str, node: yaml.Node, new: str) -> tuple[int, int, str]:
    """An insertion below the last line of a node."""
    end = text.find("\n", _last(node))
    return (len(text), len(text), "\n" + new) if end < 0 else (end + 1, end + 1, new)


def _last(node: yaml.Node) -> int:
    if isinstance(node, yaml.MappingNode) and not node.flow_style:
        return max((_last(value) for _, value in node.value), default=int(node.start_mark.index))
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:
        return max(map(_last, node.value), default=int(node.start_mark.index))
    return int(node.end_mark.index)
