"""Scenarios of chaos runs: those shipped are sound, and a wrong one is refused by its line, with what would be right."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from eventing.chaos import Fault, ScenarioError
from eventing.chaos.scenario import KILLS, SPELLS, load, names
from eventing.crashes import PLACES


@pytest.mark.parametrize("name", names())
def test_what_is_shipped_is_sound(name: str) -> None:
    scenario = load(name)
    assert scenario.about and scenario.faults


def test_one_scenario_has_every_fault() -> None:
    faults = load("everything").faults
    assert {*KILLS, *SPELLS, "redelivery"} <= {fault.kind for fault in faults}
    assert {fault.how for fault in faults if fault.kind == "store"} == {"errors", "latency", "away"}
    assert {fault.of for fault in faults if fault.kind == "disk"} == {"store", "scheduler", "broker"}
    assert load("everything").requests == 1000


@pytest.mark.parametrize("name", ["agents", "brokers", "dispatcher", "quick", "stores"])
def test_where_no_model_dies_nothing_may_be_bought_twice(name: str) -> None:
    assert not load(name).costly


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("  - {kind: flood}", r":4: faults\.0\.kind: Input should be 'agents', .* or 'redelivery'"),
        ("  - {kind: broker, after: soon}", r":4: faults\.0\.after: Input should be a valid number"),
        ("  - {kind: broker, after: -1}", r":4: faults\.0\.after: Input should be greater than or equal to 0"),
        ("  - {kind: broker, after: 1, evry: 2}", r":4: faults\.0\.evry: there is no such key; did you mean every\?"),
        ("  - {kind: broker, times: 3}", r":4: faults\.0: 3 times need `every`"),
        ("  - {kind: broker, lasts: 3}", r":4: faults\.0: `lasts` belongs to latency"),
        ("  - {kind: store}", r":4: faults\.0: a fault of the store needs `how`: one of errors, latency, away"),
        ("  - {kind: store, how: badly}", r":4: faults\.0\.how: Input should be 'errors', 'latency' or 'away'"),
        ("  - {kind: store, how: away, delay: 2}", r":4: faults\.0: `delay` belongs to `how: latency`, not to away"),
        ("  - {kind: disk}", r":4: faults\.0: a fault of the disk needs `of`: one of store, scheduler, broker"),
        ("  - {kind: disk, of: model}", r":4: faults\.0\.of: Input should be 'store', 'scheduler' or 'broker'"),
        ("  - {kind: broker, how: away}", r":4: faults\.0: `how` belongs to store, not to broker"),
        ("  - {kind: agents, at: noon}", r":4: faults\.0: `at` is one of effects, before store, .* got 'noon'"),
        ("  - {kind: redelivery, after: 10}", r":4: faults\.0: old events are those of more than 60 s ago"),
    ],
)
def test_a_wrong_fault_is_refused_by_its_line(tmp_path: Path, line: str, told: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(f"requests: 10\nrate: 2\nfaults:\n{line}\n")
    with pytest.raises(ScenarioError, match=told):
        load(str(path))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- 1\n", ":1: a scenario is a mapping"),
        ("", ":1: a scenario is a mapping"),
        ("a: [\n", ":2: is no YAML: expected the node content"),
    ],
)
def test_what_is_no_scenario_is_refused(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(ScenarioError, match=told):
        load(str(tmp_path / "own.yaml"))


def test_an_unknown_name_is_told_the_known_ones() -> None:
    with pytest.raises(ScenarioError, match="name a file, or one of agents, brokers"):
        load("nowhere")


def test_faults_come_again_at_moments_that_a_seed_repeats() -> None:
    fault = Fault(kind="agents", after=5, every=6, times=4, at="effects")
    moments = list(fault.moments(Random(1)))
    assert moments == list(fault.moments(Random(1)))
    assert moments[0] == 5 and all(abs(one - (5 + 6 * n)) <= 2 for n, one in enumerate(moments))
    assert list(fault.places()) == list(PLACES[:4])
