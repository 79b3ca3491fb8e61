"""The cluster's resources: each Service says what its func.yaml says, and what a workflow needs is there."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventing import workflow
from eventing.errors import ConfigurationError
from eventing.manifests import files, serving
from eventing.project import PACKAGE, functions

FOLDERS = functions(PACKAGE)
MADE = {
    name: [one for one in yaml.safe_load_all(text) if one]
    for name, text in files(workflow.named("research"), functions=FOLDERS).items()
}
SERVICES = {one["metadata"]["name"]: one for one in MADE["services.yaml"]}
POLICIES = {(one["kind"], one["metadata"]["name"]): one["spec"] for one in MADE["policies.yaml"]}


def func(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((folder / "func.yaml").read_text())
    return found


def placed(source: dict[str, Any]) -> str:
    """As func.yaml writes it."""
    ((kind, place),) = source.items()
    return f"{{{{ {kind.removesuffix('KeyRef')}:{place['name']}:{place['key']} }}}}"


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_service_says_what_its_func_yaml_says(folder: Path) -> None:
    given = func(folder)
    made = SERVICES[given["name"]]
    template = made["spec"]["template"]
    spec, (container,) = template["spec"], template["spec"]["containers"]
    options, limits = given["deploy"]["options"], given["deploy"]["options"]["resources"]["limits"]
    told = {one["name"]: one.get("value") or placed(one["valueFrom"]) for one in container["env"]}
    assert told == {one["name"]: one["value"] for one in given["run"]["envs"]}
    assert container["livenessProbe"]["httpGet"]["path"] == given["deploy"]["healthEndpoints"]["liveness"]
    assert container["readinessProbe"]["httpGet"]["path"] == given["deploy"]["healthEndpoints"]["readiness"]
    assert container["resources"]["requests"] == options["resources"]["requests"]
    assert container["resources"]["limits"] | {"concurrency": spec["containerConcurrency"]} == limits
    scale = template["metadata"]["annotations"]
    assert {name: scale[f"autoscaling.knative.dev/{key}"] for name, key in (("min", "min-scale"), ("max", "max-scale"))} == {
        name: str(options["scale"][name]) for name in ("min", "max")
    }
    assert "autoscaling.knative.dev/initial-scale" not in scale, "a revision that was never started gets no traffic"
    assert scale["autoscaling.knative.dev/metric"] == options["scale"]["metric"]
    assert float(scale["autoscaling.knative.dev/target"]) == options["scale"]["target"]
    assert spec["serviceAccountName"] == given["deploy"]["serviceAccountName"] == given["name"]
    assert made["metadata"]["namespace"] == given["deploy"]["namespace"]
    assert {one["key"]: one["value"] for one in given["deploy"]["labels"]}.items() <= made["metadata"]["labels"].items()
    assert "volumes" not in spec, "a node looks only after 0.3 s whether a pod's volumes are there, at each wake"
    assert float(told["TORPOR_TIME_LIMIT_S"]) < spec["timeoutSeconds"] <= 600


def test_a_volume_that_a_func_yaml_names_is_mounted(tmp_path: Path) -> None:
    given = func(FOLDERS[0])
    given["run"]["volumes"] = [{"path": "/data", "emptyDir": {"sizeLimit": "1Gi"}}]
    (tmp_path / "func.yaml").write_text(yaml.safe_dump(given))
    spec = serving.service(tmp_path, "image")["spec"]["template"]["spec"]
    ((mount,), (volume,)) = spec["containers"][0]["volumeMounts"], spec["volumes"]
    assert mount == {"name": volume["name"], "mountPath": "/data"}
    assert volume["emptyDir"] == {"sizeLimit": "1Gi"}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_a_setting_that_an_agent_reads_can_be_set_on_a_cluster(folder: Path) -> None:
    read = {name for file in folder.glob("*.py") for name in re.findall(r'ctx\.settings\.get\("(\w+)"', file.read_text())}
    offered = {one["name"]: one["value"] for one in func(folder)["run"]["envs"]}
    for name in read:
        assert offered.get(f"TORPOR_SETTING_{name.upper()}") == f"{{{{ configMap:settings:{name.replace('_', '-')} }}}}"


def test_serving_takes_scaling_hints_on_a_revision_alone_so_func_yaml_has_none() -> None:
    for folder in FOLDERS:
        assert not any("autoscaling" in key for key in func(folder)["deploy"].get("annotations", {}))
    for made in SERVICES.values():
        assert not any("autoscaling" in key for key in made["metadata"].get("annotations", {}))
        assert serving.SCALING.items() <= made["spec"]["template"]["metadata"]["annotations"].items()


def test_only_the_gateway_is_seen_from_outside() -> None:
    seen = {
        name for name, made in SERVICES.items()
        if made["metadata"]["labels"].get("networking.knative.dev/visibility") != "cluster-local"
    }  # fmt: skip
    assert seen == {"gateway"}


def test_every_function_has_an_account_of_its_own_in_a_restricted_namespace() -> None:
    (namespace, *accounts) = MADE["namespace.yaml"]
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    assert sorted(one["metadata"]["name"] for one in accounts) == sorted(SERVICES)
    assert not any(one["automountServiceAccountToken"] for one in accounts)


def test_functions_reach_dns_brokers_scheduler_and_store_and_nothing_else() -> None:
    closed = POLICIES["NetworkPolicy", "default-deny"]
    assert (closed["podSelector"], sorted(closed["policyTypes"])) == ({}, ["Egress", "Ingress"])
    rules = POLICIES["NetworkPolicy", "functions-out"]["egress"]
    ports = [[one["port"] for one in rule.get("ports", ())] for rule in rules]
    assert ports == [[53, 53], [8080], [8091], []]
    assert not any("ipBlock" in peer for rule in rules for peer in rule["to"])
    mailing = POLICIES["NetworkPolicy", "notifier-mail"]
    assert mailing["podSelector"]["matchLabels"] == {"serving.knative.dev/service": "notifier"}


def test_an_event_is_published_by_those_alone_who_answer_with_it() -> None:
    def publishers(event: str) -> list[str]:
        spec = POLICIES["EventPolicy", event.replace("_", "-")]
        return [one["sub"].rpartition(":")[2] for one in spec["from"]]

    assert publishers("research_requests") == ["gateway"]
    assert publishers("summary_ready") == ["research-assistant"]
    assert publishers("research_failed") == ["tracker"]


def test_the_kustomization_has_every_file_and_says_where_every_image_is() -> None:
    (made,) = MADE["kustomization.yaml"]
    assert set(made["resources"]) == set(MADE) - {"kustomization.yaml"}
    used = [one["spec"]["template"]["spec"]["containers"][0]["image"] for one in MADE["services.yaml"]]
    assert [one["name"] for one in made["images"]] == used


def test_what_a_service_has_no_place_for_is_refused_with_file_and_name(tmp_path: Path) -> None:
    text = (FOLDERS[0] / "func.yaml").read_text()
    (tmp_path / "func.yaml").write_text(text.replace("{{ secret:store:region }}", "{{ env:REGION }}"))
    with pytest.raises(ConfigurationError, match=r"func.yaml: AWS_REGION: .*must be text, '\{\{ secret:NAME:KEY \}\}'"):
        serving.service(tmp_path, "image")
