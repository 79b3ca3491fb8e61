"""The workflow file: what it says, and whether it can work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from eventing.errors import WorkflowError
from schemas import events

FOLDER = Path(__file__).parent / "workflows"
DELIVERY_SECONDS = 600  # Eventing's largest delivery time-out
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def _duration(value: Any) -> Any:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"must be a duration such as 30s, 5m or 1h, got {value!r}")
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Delivery(_Section):
    """How often and how far apart a failed delivery is tried again."""

    retries: int = Field(40, ge=0, le=100)
    backoff: Literal["linear", "exponential"] = "linear"
    delay: Duration = timedelta(seconds=2)


class Step(_Section):
    """One step: the agent that does it, what it takes and what it may answer with."""

    name: Name
    agent: Name
    takes: tuple[Name, ...] = Field(min_length=1)
    answers: tuple[Name, ...] = ()
    fan_out: int | None = Field(None, ge=1, le=1000)
    join: Literal["parts"] | None = None
    revisions: int | None = Field(None, ge=1, le=9)
    time_limit: Duration = timedelta(minutes=1)


class Tracker(_Section):
    """Who folds the events into states; its answer that is in `ends` is how a request fails."""

    agent: Name = "tracker"
    answers: tuple[Name, ...] = ("workflow_state", "request_failed")
    every: Duration = timedelta(minutes=5)


class Inbox(_Section):
    topic: Name
    agent: Name
    path: str


class Workflow(_Section):
    """A whole workflow; times are timedeltas."""

    name: Name
    opens: Name
    ends: tuple[Name, ...] = Field(min_length=1)
    offers: tuple[Name, ...] = ()  # answers that no step takes and that end nothing: for whoever listens
    deadline: Duration = timedelta(minutes=30)
    budget_tokens: int = Field(60_000, ge=1)
    partitions: int = Field(6, ge=1, le=1000)
    delivery: Delivery = Delivery()
    steps: tuple[Step, ...] = Field(min_length=1)
    tracker: Tracker | None = Tracker()
    inbox: Inbox | None = None
    dead_letters: Name = "agent_errors"
    tracker_dead_letters: Name = "tracker_errors"

    @cached_property
    def topics(self) -> tuple[str, ...]:
        """Every event's topic, in the order in which a request meets them."""
        found = [self.opens]
        for step in self.steps:
            found += [*step.takes, *step.answers]
        found += [*self.ends, *(self.tracker.answers if self.tracker else ())]
        return tuple(dict.fromkeys(found))

    @property
    def fails(self) -> str | None:
        """The event by which the tracker ends a request that cannot go on."""
        return next((event for event in (self.tracker.answers if self.tracker else ()) if event in self.ends), None)

    def step_for(self, agent: str, event: str) -> Step | None:
        """The step by which an agent takes an event."""
        return next((s for s in self.steps if s.agent == agent and event in s.takes), None)


def load(path: Path, known: frozenset[str] | None = None) -> Workflow:
    """The workflow of a file.

    Args:
        path: the file.
        known: the events that have contracts; those of `schemas` when None.

    Raises:
        WorkflowError: when it cannot work; every reason is named, each with the file's line.
    """
    try:
        text = path.read_text()
        content = yaml.load(text, Loader=_LOADER)  # noqa: S506 - it is a safe loader, the compiled one where there is one
    except OSError as error:
        raise WorkflowError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise WorkflowError(f"{path}: is no YAML: {error}") from error
    if not isinstance(content, dict) or not isinstance(content.get("steps"), dict):
        raise WorkflowError(f"{path}: must be a mapping with the key `steps`, itself a mapping of step names")
    steps = [{"name": name, **(body if isinstance(body, dict) else {})} for name, body in content["steps"].items()]
    try:
        workflow = Workflow.model_validate({**content, "steps": steps})
    except ValidationError as error:
        raise WorkflowError("\n".join(_told(path, text, steps, error))) from error
    found = [f"{path}:{_line(text, *at)}: {what}" for at, what in _faults(workflow, known or frozenset(events()))]
    if found:
        raise WorkflowError("\n".join(found))
    return workflow


def named(name: str) -> Workflow:
    """One of the workflows that the package brings."""
    return load(FOLDER / f"{name}.yaml")


def _told(path: Path, text: str, steps: list[dict[str, Any]], error: ValidationError) -> Iterator[str]:
    for fault in error.errors():
        at = [str(steps[p]["name"]) if isinstance(p, int) and i == 1 else str(p) for i, p in enumerate(fault["loc"])]
        message = fault["msg"].removeprefix("Value error, ")
        yield f"{path}:{_line(text, *at)}: {'.'.join(at)}: {message}"


def _line(text: str, *keys: str) -> int:
    """Line of a key path in YAML text, counted from 1; the line of its last part that is found."""
    node = yaml.compose(text, Loader=yaml.SafeLoader)
    line = 1
    for key in keys:
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        hit = next(((k, v) for k, v in pairs if k.value == key), None)
        if hit is None:
            break
        line, node = hit[0].start_mark.line + 1, hit[1]
    return int(line)


Fault = tuple[tuple[str, ...], str]


def _faults(workflow: Workflow, known: frozenset[str]) -> Iterator[Fault]:
    yield from _unknown_events(workflow, known)
    yield from _dead_ends(workflow)
    yield from _takers(workflow)
    yield from _loops(workflow)
    yield from _joins(workflow)
    yield from _limits(workflow)


def _unknown_events(workflow: Workflow, known: frozenset[str]) -> Iterator[Fault]:
    for step in workflow.steps:
        for kind in ("takes", "answers"):
            for event in getattr(step, kind):
                if event not in known:
                    yield (
                        ("steps", step.name, kind),
                        f"{event} has no contract in schemas/; known: {', '.join(sorted(known))}",
                    )
    for event in workflow.tracker.answers if workflow.tracker else ():
        if event not in known:
            yield ("tracker", "answers"), f"{event} has no contract in schemas/; known: {', '.join(sorted(known))}"


def _dead_ends(workflow: Workflow) -> Iterator[Fault]:
    taken = {event for step in workflow.steps for event in step.takes}
    made = {event for step in workflow.steps for event in step.answers} | {workflow.opens}
    made |= set(workflow.tracker.answers if workflow.tracker else ())
    if workflow.opens not in taken:
        yield ("opens",), f"{workflow.opens} opens a request, but no step takes it"
    for step in workflow.steps:
        for event in step.answers:
            if event not in taken and event not in workflow.ends and event not in workflow.offers:
                yield (
                    ("steps", step.name, "answers"),
                    f"{event} is answered, but no step takes it and it is no end: name it in `ends`, in a step's `takes`, "
                    "or in `offers` where it is for somebody else",
                )
        for event in step.takes:
            if event not in made:
                yield (
                    ("steps", step.name, "takes"),
                    f"{event} is taken, but no step answers with it: this step would never run",
                )
    for end in workflow.ends:
        if end not in made:
            yield ("ends",), f"{end} ends a request, but nothing answers with it"
    if workflow.tracker and not workflow.fails:
        told = " or ".join(event for event in workflow.tracker.answers if event != "workflow_state") or "request_failed"
        yield ("ends",), f"no end says that a request failed: add {told}, which the tracker answers with"
    for offer in workflow.offers:
        if offer not in made:
            yield ("offers",), f"{offer} is offered, but no step answers with it"


def _takers(workflow: Workflow) -> Iterator[Fault]:
    seen: dict[tuple[str, str], str] = {}
    for step in workflow.steps:
        for event in step.takes:
            if other := seen.get((step.agent, event)):
                yield ("steps", step.name, "takes"), f"{step.agent} takes {event} in step {other} already"
            seen[step.agent, event] = step.name


def _loops(workflow: Workflow) -> Iterator[Fault]:
    """A loop is bounded when one of its steps has `revisions`: without those steps nothing may lead back."""
    unbounded = [step for step in workflow.steps if step.revisions is None]
    for start in unbounded:
        reached: set[str] = set()
        front = set(start.answers)
        while front - reached:
            reached |= front
            front = {e for step in unbounded if reached & set(step.takes) for e in step.answers}
        if reached & set(start.takes):
            yield (
                ("steps", start.name, "answers"),
                f"{start.name} is in a loop without a bound: give one of its steps `revisions: N`",
            )


def _joins(workflow: Workflow) -> Iterator[Fault]:
    fans = [step for step in workflow.steps if step.fan_out]
    for step in workflow.steps:
        if not step.join:
            continue
        if not fans:
            yield ("steps", step.name, "join"), "joins parts, but no step has `fan_out`: it would wait for ever"
        for other in workflow.steps:
            branches = [event for event in other.answers if event not in step.takes]
            lost = [event for event in branches if not _leads_to(workflow, event, step)]
            if other in _between(workflow, fans, step) and lost:
                yield (
                    ("steps", step.name, "join"),
                    f"a part that ends in {lost[0]} (step {other.name}) never reaches it, so the join would wait for ever",
                )


def _leads_to(workflow: Workflow, event: str, target: Step) -> bool:
    reached = {event}
    while True:
        more = {e for s in workflow.steps if reached & set(s.takes) for e in s.answers} | reached
        if more == reached:
            return bool(reached & set(target.takes))
        reached = more


def _between(workflow: Workflow, fans: list[Step], join: Step) -> list[Step]:
    return [
        step
        for step in workflow.steps
        if step is not join
        and step not in fans
        and any(_leads_to(workflow, event, step) for fan in fans for event in fan.answers)
        and any(_leads_to(workflow, event, join) for event in step.answers)
        and not any(_leads_to(workflow, event, step) for event in join.answers)
    ]


def _limits(workflow: Workflow) -> Iterator[Fault]:
    """Model call < function's time limit < delivery time-out <= 600 s < the request's deadline."""
    for step in workflow.steps:
        if delivery_timeout(step) > timedelta(seconds=DELIVERY_SECONDS):
            yield (
                ("steps", step.name, "time_limit"),
                f"{step.time_limit.total_seconds():.0f} s leaves no room within Eventing's delivery time-out of "
                f"{DELIVERY_SECONDS} s: at most {DELIVERY_SECONDS - 30} s",
            )
        if step.time_limit >= workflow.deadline:
            yield ("steps", step.name, "time_limit"), "must be shorter than the workflow's deadline"


def delivery_timeout(step: Step) -> timedelta:
    """How long a delivery to the step's agent may take: its own limit and half a minute to wake and answer."""
    return step.time_limit + timedelta(seconds=30)
