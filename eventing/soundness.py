"""Whether a workflow can work: every way in which it cannot, with the key in its file."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from eventing.workflow import DELIVERY_SECONDS, Step, Workflow, delivery_timeout

Fault = tuple[tuple[str, ...], str]


def faults(workflow: Workflow, known: frozenset[str]) -> Iterator[Fault]:
    """Each fault as the path of keys that leads to it, and what is wrong; `known` are the events that have contracts."""
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
