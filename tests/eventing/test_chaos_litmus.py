"""The example for LitmusChaos is what its ChaosEngine takes, as far as its CRD says it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FILE = Path(__file__).parents[2] / "examples" / "chaos" / "litmus.yaml"
ENGINES: list[dict[str, Any]] = list(yaml.safe_load_all(FILE.read_text()))


@pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine["metadata"]["name"])
def test_each_engine_keeps_to_the_crd(engine: dict[str, Any]) -> None:
    assert (engine["apiVersion"], engine["kind"]) == ("litmuschaos.io/v1alpha1", "ChaosEngine")
    spec = engine["spec"]
    assert spec["engineState"] in ("active", "stop") and spec["annotationCheck"] in ("true", "false")
    assert re.fullmatch(r"(|deployment|statefulset|daemonset|deploymentconfig|rollout)", spec["appinfo"]["appkind"])
    assert spec["appinfo"]["appns"] and spec["appinfo"]["applabel"] and spec["chaosServiceAccount"]
    for experiment in spec["experiments"]:
        values = {one["name"]: one["value"] for one in experiment["spec"]["components"]["env"]}
        assert experiment["name"] == "pod-delete" and values["FORCE"] == "true"
        assert all(isinstance(value, str) for value in values.values())  # as the CRD wants them, numbers too


def test_a_broker_has_time_to_come_back() -> None:
    brokers = next(one for one in ENGINES if one["metadata"]["name"] == "torpor-brokers")
    env = {one["name"]: one["value"] for one in brokers["spec"]["experiments"][0]["spec"]["components"]["env"]}
    assert int(env["CHAOS_INTERVAL"]) >= 60 and env["PODS_AFFECTED_PERC"] == "0"
