"""Every function's func.yaml is one that `func` reads, and says what the platform needs.

func_yaml-schema.json is schema/func_yaml-schema.json of github.com/knative/func at v0.50 (Apache-2.0).
"""

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft4Validator

from eventing.checking.func_yaml import KEYS

FUNCTIONS = Path("functions")
SCHEMA = json.loads((Path(__file__).parent / "func_yaml-schema.json").read_text())
NAMES = sorted(path.parent.name for path in FUNCTIONS.glob("*/__init__.py"))
MOST = {"planner": 4, "research_assistant": 8, "validator": 8, "tracker": 1}
LIMITS = {"planner": "120", "research_assistant": "300", "validator": "300", "tracker": "20"}
MODELLED = LIMITS.keys() - {"tracker"}
ACCOUNTING = {"gateway", "tracker"}  # they open and close a request's account at the scheduler
LINKING = {"formatter", "gateway"}  # they write links to the report
OWN = {"gateway": "functions/gateway/main.py", "tracker": "functions/tracker/main.py"}


def read(name):
    return json.loads(json.dumps(yaml.safe_load((FUNCTIONS / name / "func.yaml").read_text()), default=str))


@pytest.mark.parametrize("name", NAMES)
def test_func_yaml_says_what_the_platform_needs(name):
    made = read(name)
    faults = [f"{'/'.join(map(str, e.path))}: {e.message}" for e in Draft4Validator(SCHEMA).iter_errors(made)]
    assert not faults
    envs = {env["name"]: env["value"] for env in made["run"]["envs"]}
    options = made["deploy"]["options"]
    assert made["name"] == name.replace("_", "-")
    assert envs["FUNCTION_TARGET"] == "function"
    assert envs["FUNCTION_SOURCE"] == OWN.get(name, "functions/main.py")
    assert Path(envs["FUNCTION_SOURCE"]).is_file()
    assert envs.get("TORPOR_AGENT") == (None if name in OWN else name)
    assert envs["TORPOR_TIME_LIMIT_S"] == LIMITS.get(name, "60")
    assert "TORPOR_MODEL_URL" in envs or name not in MODELLED | ACCOUNTING
    assert ("TORPOR_MODEL_KEY" in envs) == ("TORPOR_MODEL_URL" in envs and name not in ACCOUNTING)
    assert ("TORPOR_PUBLIC_URL" in envs) == (name in LINKING)
    assert (options["scale"]["min"], options["scale"]["max"]) == (0, MOST.get(name, 4))
    assert options["resources"]["limits"]["concurrency"] == (100 if name == "gateway" else 8)


def test_the_keys_that_are_known_are_those_that_func_reads():
    for section, keys in KEYS.items():
        found = SCHEMA["definitions"]["Function"]
        for key in section:
            found = found["properties"][key]
            found = SCHEMA["definitions"][found["$ref"].rpartition("/")[2]] if "$ref" in found else found
        assert set(keys) == set(found["properties"]), section


def test_every_function_has_one():
    assert len(NAMES) >= 8
    assert sorted(path.parent.name for path in FUNCTIONS.glob("*/func.yaml")) == NAMES
