"""`torpor ps` counts what waits, and says of what it does not know."""

from __future__ import annotations

from typing import Any

from eventing.cli.standing import table

AGENT = {"state": "asleep", "instances": 0, "in_flight": 0, "wakes": 1, "cold_start_s": 0.0, "blocking": ""}
QUIET = {"lag": 0, "retrying": 0, "failing": "", "dead_lettered": 0, "dropped": 0, "not_events": 0}


def said(**deliveries: dict[str, Any]) -> list[str]:
    return table({"functions": {"planner": AGENT}, "deliveries": deliveries}).splitlines()


def test_what_waits_is_summed_and_named() -> None:
    lines = said(plan=QUIET | {"lag": 2}, research=QUIET | {"lag": 3, "retrying": 1, "failing": "no\nway"}, report=QUIET)
    assert lines[-1] == "0 agent processes; 5 events waiting"
    assert "plan: 2 waiting, 0 of them tried again now, 0 dead-lettered, 0 dropped" in lines
    assert lines[lines.index("research: 3 waiting, 1 of them tried again now, 0 dead-lettered, 0 dropped") + 1] == "  no way"
    assert not [line for line in lines if line.startswith("report")]


def test_what_is_not_known_is_not_said_to_be_nothing() -> None:
    assert said(plan=QUIET | {"lag": None}, research=QUIET | {"lag": 1})[-1] == (
        "0 agent processes; 1 event waiting, not counting 1 delivery of which Kafka does not tell now"
    )
    assert said(plan=QUIET | {"lag": None}, research=QUIET | {"lag": None})[-1].endswith(
        "2 deliveries of which Kafka does not tell now"
    )
