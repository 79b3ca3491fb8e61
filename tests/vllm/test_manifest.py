"""The manifest for GPUs is one that Kubernetes takes, with arguments that this vLLM knows. No GPU is needed to see that."""

import copy
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.vllm.server import PYTHON

MANIFEST = Path(__file__).parents[2] / "inference" / "serving" / "vllm.yaml"
KNOWING = Path(__file__).with_name("knowing.py")


@pytest.fixture(scope="module")
def resources() -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(MANIFEST.read_text()))


@pytest.fixture(scope="module")
def arguments(resources: list[dict[str, Any]]) -> list[str]:
    (deployment,) = (found for found in resources if found["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["vllm", "serve"]
    return list(container["args"])


@pytest.fixture(scope="module")
def judged(resources: list[dict[str, Any]], arguments: list[str]) -> dict[str, Any]:
    """What is said to the manifest, and to one with a wrong name in each place."""
    misspelt = copy.deepcopy(resources[-1])
    misspelt["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    given = {"resources": [*resources, misspelt], "arguments": [arguments, [*arguments, "--enable-prefix-cashing"]]}
    done = subprocess.run([PYTHON, KNOWING], input=json.dumps(given), capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


def test_kubernetes_takes_every_resource(judged: dict[str, Any]) -> None:
    *kept, misspelt = judged["resources"]
    assert kept == [None] * 3
    assert "readynessProbe" in misspelt


def test_vllm_knows_every_argument(judged: dict[str, Any], arguments: list[str]) -> None:
    options, misspelt = judged["arguments"]
    assert misspelt is None
    assert options["model_tag"] == arguments[0]
    told = {
        name.removeprefix("--").replace("-", "_"): value for name, _, value in (it.partition("=") for it in arguments[1:])
    }
    for name in ("port", "max_model_len", "max_num_seqs", "max_num_queued_reqs", "shutdown_timeout"):
        assert options[name] == int(told[name])
    assert options["enable_prefix_caching"] is True
    assert options["gpu_memory_utilization"] == float(told["gpu_memory_utilization"])
    assert "guidance" in options["structured_outputs_config"]
