"""The scenarios that are explored: `python -m tests.chaos.protocols [--deep]` goes through them and says how much there was."""

from __future__ import annotations

import argparse
import functools
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from eventing import step
from tests.chaos.exploring import Explored, World, explore
from tests.chaos.worlds import EndWorld, JoinWorld, MailWorld, StepWorld

Scenario = tuple[Callable[[], World], int, int]  # with how many deaths and failures
SCENARIOS: dict[str, Scenario] = {
    "a step, dying and failing up to three times each": (lambda: StepWorld(1), 3, 3),
    "a step delivered twice at once, a death and a failure": (lambda: StepWorld(2), 1, 1),
    "a step delivered three times at once": (lambda: StepWorld(3, answers=1), 0, 0),
    "a join of two parts, a death": (lambda: JoinWorld((1, 2)), 1, 0),
    "a join of two parts, a failure": (lambda: JoinWorld((1, 2)), 0, 1),
    "a join of three parts": (lambda: JoinWorld((1, 2, 3)), 0, 0),
    "a request's end by a step and by the tracker, two deaths": (lambda: EndWorld(1, 1), 2, 1),
    "a request's end by a step and twice by the tracker": (lambda: EndWorld(1, 2), 1, 0),
    "a mail, two deaths and a failure, the lease passing twice": (lambda: MailWorld(1, 2), 2, 1),
    "a mail delivered twice at once, a death and a failure": (lambda: MailWorld(2, 0), 1, 1),
    "a mail delivered twice at once, two deaths, the lease passing": (lambda: MailWorld(2, 1), 2, 0),
    "a mail delivered three times at once": (lambda: MailWorld(3, 0), 1, 0),
}
DEEP: dict[str, Scenario] = {
    "a step delivered twice at once, two deaths and a failure": (lambda: StepWorld(2), 2, 1),
    "a step delivered three times at once, a death": (lambda: StepWorld(3), 1, 0),
    "a join of two parts, two deaths and a failure": (lambda: JoinWorld((1, 2)), 2, 1),
    "a join of two parts of which one comes twice, a death": (lambda: JoinWorld((1, 2, 1)), 1, 0),
    "a request's end by a step delivered twice and by the tracker, a death": (lambda: EndWorld(2, 1), 1, 0),
    "a mail delivered twice at once, a death and a failure, the lease passing": (lambda: MailWorld(2, 1), 1, 1),
    "a mail delivered three times at once, the lease passing": (lambda: MailWorld(3, 1), 0, 0),
}


def explored(scenario: Scenario) -> Explored:
    make, deaths, faults = scenario
    with _remembered():
        return explore(make, deaths, faults)


@contextmanager
def _remembered() -> Iterator[None]:
    """The pure codecs of the protocol, each called once for each value: schedules differ in their order alone."""
    codecs = {name: _once(getattr(step, name)) for name in ("to_json", "written", "from_content")}
    with mock.patch.multiple(step, **codecs):
        yield


def _once(codec: Callable[[Any], Any]) -> Callable[[Any], Any]:
    kept: dict[object, Any] = {}

    @functools.wraps(codec)
    def called(value: Any) -> Any:
        key = json.dumps(value) if isinstance(value, dict) else (tuple(value.attributes.items()), value.data)
        if key not in kept:
            kept[key] = codec(value)
        return kept[key]

    return called


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.protocols")
    parser.add_argument("--deep", action="store_true", help="more deaths and failures at once; takes minutes")
    for name, scenario in (SCENARIOS | (DEEP if parser.parse_args().deep else {})).items():
        found = explored(scenario)
        print(f"{name}: {found.states} states, {found.transitions} transitions, {found.schedules} ends", flush=True)


if __name__ == "__main__":
    main()
