"""The root that puts Torpor onto a cluster, applied to one: it makes what it says, once, and leaves nothing.

TORPOR_TEST_KUBECONFIG names the cluster's kubeconfig, TORPOR_TEST_CRDS a folder of resource definitions to be applied first
(Eventing, Strimzi) where nothing else has put them there. The namespaces are the test's own.
"""

import base64
import json
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from eventing.project import functions
from tests.cluster.place import define
from tests.cluster.program import Kubectl, Terraform, authority
from tests.terraform.reading import ROOT

PART_OF = "app.kubernetes.io/part-of=torpor"
PASSWORD = "a-password-that-nobody-may-read"
GENERATED = ROOT / "eventing" / "manifests" / "research"


@pytest.fixture(scope="module")
def kubeconfig() -> str:
    path = os.environ.get("TORPOR_TEST_KUBECONFIG")
    assert path, "TORPOR_TEST_KUBECONFIG must name the kubeconfig of a cluster for tests"
    return path


@pytest.fixture(scope="module")
def kubectl(kubeconfig: str) -> Kubectl:
    kubectl = Kubectl(kubeconfig)
    define(kubectl)
    return kubectl


@pytest.fixture(scope="module")
def namespace() -> str:
    return f"torpor-test-{uuid.uuid4().hex[:8]}"


@pytest.fixture(scope="module")
def manifests(namespace: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The generated manifests, for a namespace of the test's own."""
    folder = tmp_path_factory.mktemp("manifests") / "research"
    shutil.copytree(GENERATED, folder)
    for file in folder.glob("*.yaml"):
        file.write_text(re.sub(r"\b(namespace|name): torpor$", rf"\1: {namespace}", file.read_text(), flags=re.MULTILINE))
    return folder


@pytest.fixture(scope="module")
def resources(manifests: Path) -> list[dict[str, Any]]:
    found = [one for file in sorted(manifests.glob("*.yaml")) for one in yaml.safe_load_all(file.read_text())]
    return [one for one in found if one and one["kind"] != "Kustomization"]


@pytest.fixture(scope="module")
def terraform(
    kubeconfig: str, kubectl: Kubectl, namespace: str, manifests: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Terraform]:
    folder = tmp_path_factory.mktemp("terraform")
    variables = {
        "kubeconfig": kubeconfig,
        "domain": "torpor.example.com",
        "namespace": namespace,
        "models_namespace": f"{namespace}-models",
        "manifests": str(manifests),
        "registry": "registry.invalid/torpor",
        "tag": "0.1.0",
        "kafka": {"namespace": f"{namespace}-kafka"},
        "kafka_authority": authority(folder),
        "kafka_password": PASSWORD,
        "store": {
            "url": "s3://bucket",
            "endpoint": "https://s3.invalid",
            "region": "eu-1",
            "access_key_id": "an-id",
            "secret_access_key": PASSWORD,
        },
        "mail": {"smtp": "smtp://mail.invalid", "from": "torpor@example.com"},
        "registry_login": {"username": "reader", "password": PASSWORD},
        "model_servers": 0,
    }
    program = Terraform("existing/20-torpor", folder, ROOT, variables)
    program.run("init", "-input=false")
    try:
        yield program
    finally:
        program.run("destroy", "-input=false", "-auto-approve", may=[0, 1])


@pytest.fixture(scope="module")
def applied(terraform: Terraform) -> str:
    return terraform.apply()


def test_it_is_valid(terraform: Terraform) -> None:
    assert "Success" in terraform.run("validate").stdout


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"domain": "http://x"}, "domain must be a DNS name"),
        ({"tag": "latest"}, "what runs must not change by itself"),
        ({"registry": "https://r.example.com/"}, "registry must be a registry and path"),
        ({"registry_login": {"username": "reader", "password": ""}}, "registry_login must have a username and a password"),
        ({"kafka_password": "short"}, "password must have 24 characters or more"),
        ({"kafka": {"storage_gib": 0.5}}, "storage_gib must be a whole number of GiB"),
        ({"mail": {"smtp": "mail.example.com", "from": "a@example.com"}}, "mail.smtp must be a URL"),
        ({"model_servers": 2}, "model_servers must be 0 or 1"),
        ({"kubeconfig": "/nowhere"}, "kubeconfig must be an existing file"),
        ({"pools": "/nowhere.yaml"}, "pools must be an existing file"),
        ({"manifests": "/nowhere"}, "manifests must be a folder with *.yaml in it"),
        ({"namespace": "another"}, "Let namespace be the one that the manifests name"),
        ({"images": {"plannner": "x:1"}}, "images names what is no agent"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_cannot_be_is_refused_before_anything_is_changed(
    terraform: Terraform, changed: dict[str, Any], said: str
) -> None:
    assert said in terraform.refused(**changed)


def test_every_generated_resource_is_applied(applied: str, terraform: Terraform, resources: list[dict[str, Any]]) -> None:
    output = json.loads(terraform.run("output", "-json", "applied").stdout)
    assert sorted(output) == sorted(f"{one['kind']}/{one['metadata']['name']}" for one in resources)


def test_topics_and_triggers_are_there_as_they_were_generated(
    applied: str, kubectl: Kubectl, namespace: str, resources: list[dict[str, Any]]
) -> None:
    for one in resources:
        if one["kind"] in {"KafkaTopic", "Trigger"}:
            plural = {"KafkaTopic": "kafkatopics.kafka.strimzi.io", "Trigger": "triggers.eventing.knative.dev"}[one["kind"]]
            there = kubectl.get(plural, one["metadata"]["name"], namespace)
            assert there["spec"] == one["spec"]


def test_brokers_and_sources_speak_to_kafka_over_tls_as_the_user(applied: str, kubectl: Kubectl, namespace: str) -> None:
    broker = kubectl.get("brokers.eventing.knative.dev", "research-requests", namespace)
    assert broker["spec"]["config"] == {"apiVersion": "v1", "kind": "ConfigMap", "name": "kafka", "namespace": namespace}
    config = kubectl.get("configmap", "kafka", namespace)["data"]
    servers = f"torpor-kafka-bootstrap.{namespace}-kafka.svc.cluster.local:9093"
    assert (config["bootstrap.servers"], config["auth.secret.ref.name"]) == (servers, "kafka")
    source = kubectl.get("kafkasources.sources.knative.dev", "tracker", namespace)["spec"]
    assert source["bootstrapServers"] == [servers]
    assert source["net"]["sasl"]["enable"] and source["net"]["tls"]["enable"]
    secret = {
        name: base64.b64decode(text).decode() for name, text in kubectl.get("secret", "kafka", namespace)["data"].items()
    }
    assert (secret["protocol"], secret["user"], secret["password"]) == ("SASL_SSL", "torpor", PASSWORD)


def test_kafka_keeps_three_copies_and_takes_none_but_its_user(applied: str, kubectl: Kubectl, namespace: str) -> None:
    kafka = kubectl.get("kafkas.kafka.strimzi.io", "torpor", f"{namespace}-kafka")["spec"]
    config = kafka["kafka"]["config"]
    assert (config["default.replication.factor"], config["min.insync.replicas"], config["log.retention.hours"]) == (
        3,
        2,
        168,
    )
    assert [(one["tls"], one["authentication"]["type"]) for one in kafka["kafka"]["listeners"]] == [(True, "scram-sha-512")]
    assert kafka["entityOperator"]["topicOperator"]["watchedNamespace"] == namespace


def test_the_scheduler_is_one_and_its_journal_is_kept(applied: str, kubectl: Kubectl, namespace: str) -> None:
    spec = kubectl.get("deployment", "scheduler", namespace)["spec"]
    assert (spec["replicas"], spec["strategy"]["type"]) == (1, "Recreate")
    volumes = {one["name"]: one for one in spec["template"]["spec"]["volumes"]}
    assert volumes["journal"]["persistentVolumeClaim"]["claimName"] == "scheduler-journal"
    (container,) = spec["template"]["spec"]["containers"]
    assert {one["mountPath"] for one in container["volumeMounts"]} == {"/etc/torpor", "/var/lib/torpor", "/tmp"}


def test_the_pools_that_are_made_are_pools_that_the_scheduler_takes(
    applied: str, kubectl: Kubectl, namespace: str, tmp_path: Path
) -> None:
    from inference.scheduler.config import load

    path = tmp_path / "pools.yaml"
    path.write_text(kubectl.get("configmap", "scheduler", namespace)["data"]["pools.yaml"])
    (pool,) = load(path).pools
    (server,) = pool.servers
    assert server.url == f"http://vllm.{namespace}-models.svc.cluster.local:8000/v1"
    arguments = kubectl.get("deployment", "vllm", f"{namespace}-models")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert f"--served-model-name={server.model}" in arguments
    assert f"--max-num-seqs={server.slots}" in arguments


def test_agents_run_the_image_and_the_settings_of_this_place(applied: str, kubectl: Kubectl, namespace: str) -> None:
    service = kubectl.get("services.serving.knative.dev", "validator", namespace)
    (container,) = service["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "registry.invalid/torpor/validator:0.1.0"
    set_to = {one["name"]: one.get("value") for one in container["env"]}
    assert set_to["TORPOR_STORE"] == "s3://bucket"
    assert set_to["TORPOR_MODEL_URL"] == f"http://scheduler.{namespace}.svc.cluster.local/v1"


def test_images_are_read_with_the_login_of_the_registry(applied: str, kubectl: Kubectl, namespace: str) -> None:
    secret = kubectl.get("secret", "registry", namespace)
    assert secret["type"] == "kubernetes.io/dockerconfigjson"
    login = {"username": "reader", "password": PASSWORD}
    assert json.loads(base64.b64decode(secret["data"][".dockerconfigjson"])) == {"auths": {"registry.invalid": login}}
    named = [{"name": "registry"}]
    accounts = json.loads(kubectl.run("get", "serviceaccounts", "-n", namespace, "-l", PART_OF, "-o", "json"))["items"]
    assert len(accounts) == len(functions(ROOT)) and all(one["imagePullSecrets"] == named for one in accounts)
    scheduler = kubectl.get("deployment", "scheduler", namespace)["spec"]["template"]["spec"]
    assert scheduler["imagePullSecrets"] == named


def test_no_secret_is_shown(applied: str) -> None:
    assert PASSWORD not in applied and "auths" not in applied
    assert base64.b64encode(PASSWORD.encode()).decode() not in applied


def test_outputs_say_where_to_go_on(applied: str, terraform: Terraform, namespace: str) -> None:
    assert terraform.run("output", "-raw", "gateway_url").stdout == f"http://gateway.{namespace}.torpor.example.com"


def test_a_second_plan_changes_nothing(applied: str, terraform: Terraform) -> None:
    assert terraform.planned() == []


def test_a_changed_value_changes_what_it_is_about_and_no_more(applied: str, terraform: Terraform, namespace: str) -> None:
    kafka = {"namespace": f"{namespace}-kafka", "retention_hours": 24}
    assert terraform.planned(kafka=kafka) == [("update", "module.broker.kubectl_manifest.kafka")]
    told = {address for action, address in terraform.planned(models={"writer": "another"}) if action == "update"}
    reader = 'module.eventing.kubectl_manifest.agents["Service/research-assistant"]'
    assert told == {"module.eventing.kubectl_manifest.settings", reader}
    server = 'module.inference.kubectl_manifest.serving["Deployment/vllm"]'
    assert terraform.planned(model_servers=1) == [("update", server)]


def test_a_changed_value_is_applied_and_can_be_taken_back(
    applied: str, terraform: Terraform, kubectl: Kubectl, namespace: str
) -> None:
    def image() -> str:
        service = kubectl.get("services.serving.knative.dev", "validator", namespace)
        return str(service["spec"]["template"]["spec"]["containers"][0]["image"])

    images = {"validator": f"registry.invalid/torpor/validator@sha256:{'0' * 64}"}
    terraform.apply(images=images)
    assert image() == images["validator"]
    assert terraform.planned(images=images) == []
    terraform.apply()
    assert image() == "registry.invalid/torpor/validator:0.1.0"


def test_what_somebody_else_changed_is_put_right(
    applied: str, terraform: Terraform, kubectl: Kubectl, namespace: str
) -> None:
    topic = "kafkatopics.kafka.strimzi.io/research-requests"
    kubectl.run("patch", topic, "-n", namespace, "--type=merge", "-p", '{"spec": {"partitions": 1}}')
    address = 'module.eventing.kubectl_manifest.topics["KafkaTopic/research-requests"]'
    assert terraform.planned() == [("update", address)]
    terraform.apply()
    assert kubectl.get("kafkatopics.kafka.strimzi.io", "research-requests", namespace)["spec"]["partitions"] == 6


def test_destroy_leaves_nothing(applied: str, terraform: Terraform, kubectl: Kubectl, namespace: str) -> None:
    terraform.run("destroy", "-input=false", "-auto-approve")
    assert json.loads(terraform.state.read_text())["resources"] == []
    left = [name for name in kubectl.run("get", "namespaces", "-o", "name").split() if namespace in name]
    assert left == []
