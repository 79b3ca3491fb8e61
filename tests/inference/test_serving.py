"""The manifest for vLLM on GPUs holds together, and the sizing's arithmetic is right."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

import inference.serving
from inference.serving.sizing import GIB, Gpus, Model, cache_on, calls_on, kv_bytes_per_token, tokens_in

LONGEST_GENERATION_S = 600  # Eventing's longest delivery
SMOLLM2 = Model(135e6, layers=30, kv_heads=3, head_dim=64)
LLAMA_8B = Model(8.03e9, layers=32, kv_heads=8, head_dim=128)


@pytest.fixture(scope="module")
def resources() -> dict[str, Any]:
    text = (Path(inference.serving.__file__).parent / "vllm.yaml").read_text()
    return {found["kind"]: found for found in yaml.safe_load_all(text)}


@pytest.fixture(scope="module")
def pod(resources: dict[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = resources["Deployment"]["spec"]["template"]["spec"]
    return spec


@pytest.fixture(scope="module")
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["containers"]
    return dict(only)


@pytest.fixture(scope="module")
def flags(container: dict[str, Any]) -> dict[str, str]:
    return {name: value for name, _, value in (arg.partition("=") for arg in container["args"])}


def test_service_and_deployment_select_the_pods(resources: dict[str, Any]) -> None:
    labels = resources["Deployment"]["spec"]["template"]["metadata"]["labels"].items()
    assert resources["Deployment"]["spec"]["selector"]["matchLabels"].items() <= labels
    assert resources["Service"]["spec"]["selector"].items() <= labels


def test_ports_agree(resources: dict[str, Any], container: dict[str, Any], flags: dict[str, str]) -> None:
    (port,) = container["ports"]
    (served,) = resources["Service"]["spec"]["ports"]
    scraped = resources["Service"]["metadata"]["annotations"]["prometheus.io/port"]
    assert str(port["containerPort"]) == flags["--port"] == str(served["port"]) == scraped
    probes = [container[f"{kind}Probe"]["httpGet"] for kind in ("startup", "readiness", "liveness")]
    assert {probe["port"] for probe in probes} == {served["targetPort"]} == {port["name"]}
    assert {probe["path"] for probe in probes} == {"/health"}


def test_every_mount_has_its_volume(resources: dict[str, Any], pod: dict[str, Any], container: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    claimed = volumes["models"]["persistentVolumeClaim"]["claimName"]
    assert claimed == resources["PersistentVolumeClaim"]["metadata"]["name"]
    mounted = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"name": "HF_HOME", "value": mounted["models"]} in container["env"]


def test_a_generation_that_runs_is_finished_before_the_pod_goes(
    pod: dict[str, Any], container: dict[str, Any], flags: dict[str, str]
) -> None:
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][-1])
    drain = int(flags["--shutdown-timeout"])
    assert drain >= LONGEST_GENERATION_S
    assert pause + drain + 30 <= pod["terminationGracePeriodSeconds"]
    readiness = container["readinessProbe"]
    assert readiness["periodSeconds"] * readiness["failureThreshold"] <= pause


def test_an_update_waits_for_drain_and_start_and_needs_no_spare_gpu(
    resources: dict[str, Any], pod: dict[str, Any], container: dict[str, Any]
) -> None:
    startup = container["startupProbe"]
    starts = startup["periodSeconds"] * startup["failureThreshold"]
    assert starts >= 600
    deployment = resources["Deployment"]["spec"]
    assert deployment["progressDeadlineSeconds"] >= pod["terminationGracePeriodSeconds"] + starts
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}


def test_every_gpu_that_is_asked_for_is_used(container: dict[str, Any], flags: dict[str, str]) -> None:
    asked = {container["resources"][kind]["nvidia.com/gpu"] for kind in ("requests", "limits")}
    assert asked == {flags.get("--tensor-parallel-size", "1")}


def test_its_queue_takes_what_the_slots_take_and_no_long_line(flags: dict[str, str]) -> None:
    assert int(flags["--max-num-seqs"]) < int(flags["--max-num-queued-reqs"]) <= 2 * int(flags["--max-num-seqs"])


def test_the_cache_of_a_token_is_a_key_and_a_value_for_each_layer_and_head() -> None:
    assert kv_bytes_per_token(LLAMA_8B) == 128 * 1024
    assert kv_bytes_per_token(LLAMA_8B, kv_bytes=1) == 64 * 1024


def test_a_cache_is_counted_in_whole_blocks() -> None:
    assert tokens_in(GIB, SMOLLM2, block=128) == 46_592
    assert tokens_in(kv_bytes_per_token(LLAMA_8B) * 31, LLAMA_8B) == 16


def test_weights_that_do_not_fit_leave_no_calls() -> None:
    small = Gpus(8 * GIB)
    assert cache_on(small, LLAMA_8B) < 0
    assert calls_on(small, LLAMA_8B, tokens=1) == 0


def test_more_memory_and_smaller_numbers_hold_more_calls() -> None:
    sizes = [
        calls_on(Gpus(22 * GIB), LLAMA_8B, 4096),
        calls_on(Gpus(22 * GIB), LLAMA_8B, 4096, weight_bytes=1),
        calls_on(Gpus(22 * GIB), LLAMA_8B, 4096, weight_bytes=1, kv_bytes=1),
        calls_on(Gpus(22 * GIB, count=4), LLAMA_8B, 4096, weight_bytes=1, kv_bytes=1),
    ]
    assert all(fewer < more for fewer, more in pairwise(sizes))
