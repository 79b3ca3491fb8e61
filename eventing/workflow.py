"""The workflow file: what it says, and whether it can work."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from eventing.errors import WorkflowError
from eventing.kept import Kept
from eventing.texts import NoTextError, text_of
from schemas import events

FOLDER = Path(__file__).parent / "workflows"
DELIVERY_SECONDS = 600  # Eventing's largest delivery time-out
# What decides whether a workflow is sound: another state of it checks anew.
_CHECKED_BY = tuple(str(Path(__file__).with_name(name).stat().st_mtime_ns) for name in ("workflow.py", "soundness.py"))
_LONGEST = timedelta(days=366)
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def _duration(value: Any) -> Any:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value) if isinstance(value, str) else None
    if not match:
        raise ValueError(f"must be a duration such as 30s, 5m or 1h, got {value!r}")
    seconds = float(match[1]) * _UNITS[match[2]]
    if seconds > _LONGEST.total_seconds():
        raise ValueError(f"must be a year at the most, got {value!r}")
    return timedelta(seconds=seconds)


Duration = Annotated[timedelta, BeforeValidator(_duration)]
Whole = Annotated[int, Field(strict=True, le=10**12)]  # neither 1.0 nor true
Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Delivery(_Section):
    """How often and how far apart a failed delivery is tried again."""

    retries: Whole = Field(40, ge=0, le=100)
    backoff: Literal["linear", "exponential"] = "linear"
    delay: Duration = timedelta(seconds=2)


class Step(_Section):
    """One step: the agent that does it, what it takes and what it may answer with."""

    name: Name
    agent: Name
    takes: tuple[Name, ...] = Field(min_length=1)
    answers: tuple[Name, ...] = ()
    fan_out: Whole | None = Field(None, ge=1, le=1000)
    join: Literal["parts"] | None = None
    revisions: Whole | None = Field(None, ge=1, le=9)
    time_limit: Duration = timedelta(minutes=1)
    brief: bool = False  # mostly done in less time than an agent takes to wake; told to waking ahead


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
    budget_tokens: Whole = Field(60_000, ge=1)
    partitions: Whole = Field(6, ge=1, le=1000)
    prewake: bool = False  # whether an agent at work wakes those that are needed next
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

    def takers(self, event: str) -> tuple[Step, ...]:
        """The steps that take an event."""
        return tuple(step for step in self.steps if event in step.takes)


class _Every(frozenset[str]):
    def __contains__(self, _: object) -> bool:
        return True

    def __bool__(self) -> bool:
        return True


EVERY_EVENT = _Every()  # for whoever reads a workflow file without the project's contracts


def load(path: Path, known: frozenset[str] | None = None) -> Workflow:
    """The workflow of a file.

    Args:
        path: the file.
        known: the events that have contracts; those of `schemas` when None.

    Raises:
        WorkflowError: when it cannot work; every reason is named, each with the file's line.
    """
    try:
        text = text_of(path)
    except NoTextError as error:
        raise WorkflowError(f"{path}: {error}") from error
    known = known or frozenset(events())
    kept = Kept.of(path, text, *sorted(known), *_CHECKED_BY)
    if (sound := kept.read()) is not None:
        return Workflow.model_validate(sound)
    content = _parsed(path, text)
    workflow = _sound(path, text, content, known)
    kept.write(content)
    return workflow


def _loader() -> Any:
    import yaml

    return getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _parsed(path: Path, text: str) -> dict[str, Any]:
    import yaml

    try:
        content = yaml.load(text, Loader=_loader())  # noqa: S506 - it is a safe loader, the compiled one where there is one
    except yaml.YAMLError as error:
        line, what = no_yaml(error)
        raise WorkflowError(f"{path}:{line}: is no YAML: {what}") from error
    if again := list(keys_again(text)):
        raise WorkflowError("\n".join(f"{path}:{line}: {what}" for line, what in again))
    if not isinstance(content, dict) or not isinstance(content.get("steps"), dict):
        raise WorkflowError(f"{path}: must be a mapping with the key `steps`, itself a mapping of step names")
    steps = [{"name": name, **(body if isinstance(body, dict) else {})} for name, body in content["steps"].items()]
    return {**content, "steps": steps}


def _sound(path: Path, text: str, content: dict[str, Any], known: frozenset[str]) -> Workflow:
    from eventing.soundness import faults

    try:
        workflow = Workflow.model_validate(content)
    except ValidationError as error:
        raise WorkflowError("\n".join(_told(path, text, content["steps"], error))) from error
    if found := [f"{path}:{line_of(text, *at)}: {what}" for at, what in faults(workflow, known)]:
        raise WorkflowError("\n".join(found))
    return workflow


def named(name: str) -> Workflow:
    """One of the workflows that the package brings."""
    return load(FOLDER / f"{name}.yaml")


def _told(path: Path, text: str, steps: list[dict[str, Any]], error: ValidationError) -> Iterator[str]:
    faults = error.errors()
    for fault in faults:
        place = fault["loc"]
        if any(place == other["loc"][: len(place)] and place != other["loc"] for other in faults):
            continue  # it follows from what is wrong within
        at = [str(steps[p]["name"]) if isinstance(p, int) and i == 1 else str(p) for i, p in enumerate(place)]
        yield f"{path}:{line_of(text, *at)}: {'.'.join(at)}: {_wrong(fault)}"


def _wrong(fault: Any) -> str:
    if fault["type"] == "extra_forbidden":
        *section, key = fault["loc"]
        known = _SECTIONS[str(section[0]) if section else ""].model_fields
        return no_such_key(str(key), [name for name in known if name != "name" or not section])
    if fault["type"].startswith("int_"):
        return f"must be a whole number, got {fault['input']!r}"
    return str(fault["msg"].removeprefix("Value error, "))


_SECTIONS: dict[str, type[_Section]] = {
    "": Workflow,
    "steps": Step,
    "delivery": Delivery,
    "tracker": Tracker,
    "inbox": Inbox,
}


def no_such_key(key: str, known: Iterable[str]) -> str:
    """What is wrong with a key that nothing reads, and which may have been meant."""
    close = difflib.get_close_matches(key, list(known), 1)
    return f"there is no such key; did you mean {close[0]}?" if close else f"there is no such key; known: {', '.join(known)}"


def no_yaml(error: Exception) -> tuple[int, str]:
    """Where a text stops being YAML, counted from line 1, and why."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    return (mark.line + 1 if mark else 1), str(problem or error).splitlines()[0]


def keys_again(text: str) -> Iterator[tuple[int, str]]:
    """The lines, from 1, at which YAML text has a key that its mapping has already, and that it has: the last would hold."""
    import yaml

    nodes, seen = [yaml.compose(text, Loader=_loader())], set[int]()
    while nodes:
        node = nodes.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            nodes += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[str, int] = {}
            for key, value in node.value:
                nodes.append(value)
                if isinstance(key, yaml.ScalarNode):
                    line = key.start_mark.line + 1
                    if (first := lines.setdefault(key.value, line)) != line:
                        yield line, f"{key.value}: stands twice, in line {first} too: only one can hold"


def line_of(text: str, *keys: str | int) -> int:
    """Line of a key path in YAML text, counted from 1; the line of its last part that is found."""
    import yaml

    node = yaml.compose(text, Loader=_loader())
    line = 1
    for key in keys:
        if isinstance(key, int):
            if not isinstance(node, yaml.SequenceNode) or key >= len(node.value):
                break
            node = node.value[key]
            line = node.start_mark.line + 1
            continue
        pairs = node.value if isinstance(node, yaml.MappingNode) else []
        hit = next(((k, v) for k, v in pairs if k.value == key), None)
        if hit is None:
            break
        line, node = hit[0].start_mark.line + 1, hit[1]
    return int(line)


def delivery_timeout(step: Step) -> timedelta:
    """How long a delivery to the step's agent may take: its own limit and half a minute to wake and answer."""
    return step.time_limit + timedelta(seconds=30)
