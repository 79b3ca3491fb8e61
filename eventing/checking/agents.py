"""Each agent: its entry, and whether its types are what the workflow gives it and expects of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from eventing import places
from eventing.agent import Agent
from eventing.checking.importing import Importer
from eventing.checking.problem import Problem, at
from eventing.workflow import Step, Workflow, line_of
from schemas import Contract, contract_for

_PARTS = {"part": "which part it is", "of": "how many there are"}
_WRITE = '`@agent("{name}")` above `async def handle(event: Contract, ctx: Context) -> Contract`'


def entry(project: Path, folder: Path, importer: Importer) -> Iterator[Problem | Agent]:
    """The agent of a folder, or what is wrong with it."""
    file = f"functions/{folder.name}/agent.py"
    if not (project / file).is_file():
        yield Problem(f"functions/{folder.name}", 1, f"has no agent.py: write {_WRITE.format(name=folder.name)} into it")
        return
    module = importer.take(f"functions.{folder.name}.agent", file)
    if module is None:
        return
    if not Path(str(module.__file__)).samefile(project / file):
        told = f"the package has an agent {folder.name}, which is found instead: put an empty __init__.py beside this file"
        yield Problem(file, 1, told)
        return
    found = getattr(module, "handle", None)
    if not isinstance(found, Agent):
        what = "has no `handle`" if found is None else "its `handle` was not made by @agent"
        yield Problem(file, _def(project / file), f"{what}: write {_WRITE.format(name=folder.name)}")
    elif found.name != folder.name:
        yield at(
            places.of_function(found.handler), f"is @agent({found.name!r}) in the folder {folder.name}: one name for both"
        )
    else:
        yield found


def types(agent: Agent, workflow: Workflow, file: str) -> Iterator[Problem]:
    """Where the agent and its steps disagree."""
    where, steps = places.of_function(agent.handler), [step for step in workflow.steps if step.agent == agent.name]
    takes, answers = {c.event for c in agent.takes}, {c.event for c in agent.answers}
    for step in steps:
        for event in step.takes:
            if event not in takes:
                told = f"step {step.name} of {file} gives it {event} ({_class(event)}), it takes {_names(agent.takes)}"
                yield at(where, f"{told}: add it to the type of `{_first(agent)}`, or mend the step")
        for event in step.answers:
            if event not in answers:
                told = f"step {step.name} of {file} waits for {event} ({_class(event)}), it answers {_names(agent.answers)}"
                yield at(where, f"{told}: add it to the type that it returns, or mend the step")
        if bool(step.join) != agent.joins:
            told = "joins: write Sequence[...] around what it takes" if step.join else "joins nothing: take one event"
            yield at(where, f"step {step.name} of {file} {told}, or mend the step's `join`")
    if not steps:
        return
    for event in sorted(answers - {event for step in steps for event in step.answers}):
        told = f"may answer {event} ({_class(event)}), which no step of it in {file} has among its `answers`"
        yield at(where, f"{told}: add it there, or take it from the type that it returns")
    if agent.many and not any(step.fan_out for step in steps):
        yield at(where, f"returns several events, but no step of it in {file} has `fan_out: N`: add it, or return one")


def fields(step: Step, workflow: Workflow, file: str, text: str) -> Iterator[Problem]:
    """Fields by which steps are told apart: parts of a fan-out, revisions of a loop, the number of parts of a join."""
    if step.fan_out:
        yield from _lacking(step, step.answers, "answers", _PARTS, file, text)
    if step.join:
        yield from _lacking(step, step.takes, "takes", _PARTS, file, text)
    if step.revisions:
        back = [e for e in step.answers if any(e in s.takes for s in workflow.steps)]
        yield from _lacking(step, step.takes + tuple(back), "answers", {"revision": "how often it was revised"}, file, text)


def _lacking(
    step: Step, events: tuple[str, ...], key: str, wanted: dict[str, str], file: str, text: str
) -> Iterator[Problem]:
    for event in dict.fromkeys(events):
        contract = contract_for(event)
        for name, why in wanted.items():
            if name not in contract.model_fields:
                told = f"{event} ({contract.__name__}) needs a field `{name}: int`, {why}"
                yield Problem(file, line_of(text, "steps", step.name, key), f"step {step.name}: {told}")


def _class(event: str) -> str:
    return contract_for(event).__name__


def _names(contracts: tuple[type[Contract], ...]) -> str:
    return ", ".join(c.__name__ for c in contracts) or "nothing"


def _first(agent: Agent) -> str:
    return agent.handler.__code__.co_varnames[0]


def _def(file: Path) -> int:
    return next((n for n, line in enumerate(file.read_text().splitlines(), 1) if "def handle" in line), 1)
