"""Terraform's modules and roots hold together: what can be seen of them without a cluster, a provider or the program itself."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.terraform.reading import MODULES, ROOT, ROOTS, TERRAFORM, Folder, plain, read

EVERY = [*MODULES, *ROOTS]


def _name(path: Path) -> str:
    return str(path.relative_to(TERRAFORM))


@pytest.fixture(params=EVERY, ids=_name)
def folder(request: pytest.FixtureRequest) -> Folder:
    return read(request.param)


@pytest.fixture(params=MODULES, ids=_name)
def module(request: pytest.FixtureRequest) -> Folder:
    return read(request.param)


def test_the_modules_are_those_of_the_design() -> None:
    assert [path.name for path in MODULES] == ["broker", "cluster", "eventing", "inference", "platform"]
    assert [_name(path) for path in ROOTS] == [
        "environments/existing/10-platform",
        "environments/existing/20-torpor",
        "environments/gke",
    ]


def test_every_variable_has_a_type_and_a_description(folder: Folder) -> None:
    assert folder.of("variable")
    for name, variable in folder.of("variable").items():
        assert {"type", "description"} <= variable.keys(), name
        assert plain(variable["description"]).endswith("."), name


def test_every_output_has_a_description(folder: Folder) -> None:
    assert folder.of("output")
    assert [name for name, output in folder.of("output").items() if "description" not in output] == []


def test_every_refusal_says_what_would_be_right(folder: Folder) -> None:
    for name, variable in folder.of("variable").items():
        for validation in variable.get("validation", []):
            said = plain(validation["error_message"])
            assert said.startswith(name), f"{name}: name the variable first: {said}"
            assert " must " in said, f"{name}: say what must be: {said}"


def test_every_variable_is_used(folder: Folder) -> None:
    text = "".join(file.read_text() for file in folder.path.glob("*.tf"))
    assert [name for name in folder.of("variable") if text.count(f"var.{name}") == 0] == []


def test_a_module_has_four_files_and_configures_no_provider(module: Folder) -> None:
    assert sorted(file.name for file in module.path.glob("*.tf")) == ["main.tf", "outputs.tf", "variables.tf", "versions.tf"]
    assert module.of("provider") == {}


def test_nothing_is_done_by_provisioners(folder: Folder) -> None:
    assert [name for name, resource in folder.of("resource").items() if "provisioner" in resource] == []


def test_every_provider_has_a_source_and_a_version(folder: Folder) -> None:
    (terraform,) = folder.of("terraform").values()
    (required,) = terraform["required_providers"]
    providers = {name: given for name, given in required.items() if not name.startswith("__")}
    assert all({"source", "version"} <= given.keys() for given in providers.values())
    used = {name.split("_")[0] for name in folder.of("resource")}
    assert used <= providers.keys()


@pytest.mark.parametrize("root", ROOTS, ids=_name)
def test_a_root_gives_each_module_what_it_asks_for(root: Path) -> None:
    for name, call in read(root).of("module").items():
        asked = read((root / plain(call["source"])).resolve()).of("variable")
        given = {argument for argument in call if argument not in {"source", "depends_on"} and not argument.startswith("__")}
        assert given <= asked.keys(), f"{name} does not know {given - asked.keys()}"
        needed = {variable for variable, block in asked.items() if "default" not in block}
        assert needed <= given, f"{name} needs {needed - given}"


def test_what_is_written_is_formatted() -> None:
    assert not [file for file in TERRAFORM.rglob("*.tf") if "\t" in file.read_text() or " \n" in file.read_text()]
    if program := shutil.which("terraform"):
        done = subprocess.run([program, "fmt", "-check", "-recursive", TERRAFORM], capture_output=True, text=True)
        assert done.returncode == 0, f"terraform fmt -recursive terraform:\n{done.stdout}{done.stderr}"


def test_eventing_polls_less_often_than_all_retries_of_one_event_take() -> None:
    declared = int(read(TERRAFORM / "modules" / "platform").of("variable")["max_poll_interval_s"]["default"])
    deliveries = [found["spec"]["delivery"] for found in _generated() if "delivery" in found.get("spec", {})]
    assert deliveries
    assert max(_longest_s(delivery) for delivery in deliveries) < declared


def test_eventing_is_told_what_the_design_says() -> None:
    text = (TERRAFORM / "modules" / "platform" / "main.tf").read_text()
    assert '"auto.offset.reset"        = "earliest"' in text


def test_topics_are_kept_thrice_and_for_a_week() -> None:
    broker = TERRAFORM / "modules" / "broker"
    variables = read(broker).of("variable")
    assert (variables["nodes"]["default"], variables["retention_hours"]["default"]) == (3, 168)
    text = re.sub(r" +", " ", (broker / "main.tf").read_text())
    assert '"default.replication.factor" = 3' in text
    assert '"min.insync.replicas" = 2' in text
    assert "v1beta2" not in text


def test_topics_and_their_cluster_go_by_the_same_names() -> None:
    topics = [found for found in _generated() if found["kind"] == "KafkaTopic"]
    name = plain(read(TERRAFORM / "modules" / "broker").of("variable")["name"]["default"])
    assert {topic["metadata"]["labels"]["strimzi.io/cluster"] for topic in topics} == {name}
    namespace = plain(read(TERRAFORM / "environments/existing/20-torpor").of("variable")["namespace"]["default"])
    assert {topic["metadata"]["namespace"] for topic in topics} == {namespace}


def test_every_secret_and_setting_that_an_agent_must_have_is_made() -> None:
    made = (TERRAFORM / "environments/existing/20-torpor/main.tf").read_text()
    for service in (found for found in _generated() if found["apiVersion"].startswith("serving.knative.dev/")):
        for container in service["spec"]["template"]["spec"]["containers"]:
            for variable in container.get("env", []):
                for wanted in variable.get("valueFrom", {}).values():
                    if not wanted.get("optional"):
                        assert re.search(rf"\b{wanted['name']} += \{{", made), wanted
                        assert re.search(rf'"?\b{wanted["key"]}"? += ', made), wanted


def _generated() -> list[dict[str, Any]]:
    files = sorted((ROOT / "eventing" / "manifests" / "research").glob("*.yaml"))
    return [found for file in files for found in yaml.safe_load_all(file.read_text()) if found]


def _longest_s(delivery: dict[str, Any]) -> int:
    timeout, backoff = (int(delivery[name].removeprefix("PT").removesuffix("S")) for name in ("timeout", "backoffDelay"))
    retries = int(delivery["retry"])
    assert delivery["backoffPolicy"] == "linear"
    return (retries + 1) * timeout + backoff * retries * (retries + 1) // 2
