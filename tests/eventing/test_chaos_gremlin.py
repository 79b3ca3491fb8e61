"""The example for Gremlin has the form in which Gremlin's own Python client writes a scenario, and gives a broker time."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

FILE = Path(__file__).parents[2] / "examples" / "chaos" / "gremlin.json"
SCENARIO: dict[str, Any] = json.loads(FILE.read_text())


def chain() -> list[dict[str, Any]]:
    """The nodes in the order in which they are gone through."""
    nodes, at, found = SCENARIO["graph"]["nodes"], SCENARIO["graph"]["start_id"], []
    while at is not None:
        assert nodes[at]["id"] == at and nodes[at] not in found
        found.append(nodes[at])
        at = nodes[at].get("next")
    return found


def test_every_node_is_reached_once_and_is_an_attack_or_a_pause() -> None:
    assert set(SCENARIO) == {"name", "description", "hypothesis", "graph"}
    assert len(chain()) == len(SCENARIO["graph"]["nodes"])
    for node in chain():
        assert node["guid"] and node["name"] and node["type"] in ("InfraAttack", "Delay")
        if node["type"] == "Delay":
            assert node["delay"] > 0
            continue
        assert node["impact_definition"]["infra_command_type"] == "shutdown"
        assert node["impact_definition"]["infra_command_args"]["cli_args"][0] == "shutdown"
        assert node["target_definition"]["strategy"]["count"] == "1"
        assert set(node["target_definition"]["strategy"]["attrs"]["multiSelectLabels"]) == {
            "io.kubernetes.pod.namespace",
            "io.kubernetes.container.name",
        }


def test_a_broker_has_time_to_come_back() -> None:
    names, delays = [node["name"] for node in chain()], [node.get("delay", 0) for node in chain()]
    struck = [at for at, name in enumerate(names) if name in ("broker-1", "broker-2", "broker-3")]
    assert len(struck) == 3
    assert all(sum(delays[one:other]) >= 60 for one, other in pairwise(struck))
