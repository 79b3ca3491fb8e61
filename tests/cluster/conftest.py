"""The whole workflow on a cluster: images built here, applied by Terraform, with what the cluster lacks lent by this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventing.cli.documents import collect
from inference.testing import FakeServer
from tests.cluster import outside
from tests.cluster.forwarding import Forwarder
from tests.cluster.place import Place, define
from tests.cluster.pods import NAMESPACE, Pods
from tests.cluster.program import Kubectl, Terraform, authority
from tests.inference.conftest import embedded, small_model
from tests.local.running import ROOT, Running
from tests.objectstore import s3_server

TAG = "tested"
DOCUMENTS = ROOT / "examples" / "post-quantum"
MANIFESTS = ROOT / "eventing" / "manifests" / "research"


@pytest.fixture(scope="module")
def place() -> Place:
    return Place.given()


@pytest.fixture(scope="module")
def cluster(place: Place) -> Kubectl:
    """The cluster, with resource definitions, and without a Torpor."""
    kubectl = Kubectl(place.kubeconfig)
    define(kubectl)
    there = kubectl.run("get", "namespace", NAMESPACE, "--ignore-not-found", "-o", "name")
    assert not there, (
        f"there is a namespace {NAMESPACE}: left by a run that was cut off? kubectl delete namespace {NAMESPACE}"
    )
    return kubectl


@pytest.fixture(scope="module")
def images(place: Place) -> str:
    """Every image, built and brought to the cluster; their tag."""
    if not place.tag:
        built(place, TAG)
    return place.tag or TAG


def built(place: Place, tag: str, *names: str) -> None:
    """Build images with `make images`' program and bring them to the cluster."""
    command = [sys.executable, "-m", "eventing.deployment", "images", *names]
    given = ["--registry", place.registry, "--tag", tag, "--base", place.base]
    done = subprocess.run([*command, *given], cwd=ROOT, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    for image in done.stdout.splitlines()[-1].partition(": ")[2].split(", "):
        place.bring(image)


@pytest.fixture(scope="module")
def model() -> Iterator[FakeServer]:
    with FakeServer() as server:
        yield server


@pytest.fixture
def real_model(tmp_path: Path) -> Iterator[int]:
    """llama.cpp with the small model that the local platform runs on; its port on loopback."""
    with embedded(small_model(tmp_path)) as port:
        yield port


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    with s3_server(tmp_path_factory.mktemp("store")) as environ:
        yield environ


@pytest.fixture(scope="module")
def forwarder(place: Place) -> Iterator[Forwarder]:
    forwarder = Forwarder(place.host)
    yield forwarder
    forwarder.close()


@pytest.fixture(scope="module")
def eventing(place: Place, store: dict[str, str], model: FakeServer, tmp_path_factory: pytest.TempPathFactory) -> Running:
    """The local platform that plays Eventing for the cluster's Services; not up yet."""
    agents = f"http://{{name}}.{NAMESPACE}.svc.cluster.local"
    environ = {"TORPOR_SERVICES": agents, "TORPOR_SERVICES_VIA": place.gateway, "TORPOR_STORE": "s3://torpor"}
    return Running(tmp_path_factory.mktemp("platform"), {**environ, **store, "TORPOR_MODEL_URL": model.url})


@pytest.fixture(scope="module")
def terraform(
    place: Place,
    cluster: Kubectl,
    images: str,
    forwarder: Forwarder,
    eventing: Running,
    store: dict[str, str],
    model: FakeServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Terraform]:
    """Torpor, applied to the cluster."""
    folder = tmp_path_factory.mktemp("terraform")
    lent = {
        name: f"{place.host}:{forwarder.to(port)}"
        for name, port in {
            "store": _port(store["AWS_ENDPOINT_URL"]),
            "model": _port(model.url),
            "mail": eventing.ports.smtp,
        }.items()
    }
    server = {"name": "lent", "url": f"http://{lent['model']}/v1", "model": model.name, "slots": 64}
    pools = {"pools": [{"name": "lent", "models": ["default"], "servers": [server]}]}
    (folder / "pools.yaml").write_text(json.dumps(pools))
    variables = {
        "kubeconfig": place.kubeconfig,
        "domain": "torpor.example.com",
        "manifests": str(MANIFESTS),
        "registry": place.registry,
        "tag": images,
        "kafka_authority": authority(folder),
        "kafka_password": "nobody-speaks-to-this-kafka",
        "store": {
            "url": "s3://torpor",
            "endpoint": f"http://{lent['store']}",
            "region": store["AWS_REGION"],
            "access_key_id": store["AWS_ACCESS_KEY_ID"],
            "secret_access_key": store["AWS_SECRET_ACCESS_KEY"],
        },
        "mail": {"smtp": f"smtp://{lent['mail']}", "from": "torpor@example.com"},
        "pools": str(folder / "pools.yaml"),
        "sources": collect(DOCUMENTS).name,
    }
    program = Terraform("existing/20-torpor", folder, ROOT, variables)
    program.run("init", "-input=false")
    outside.lend_ingress(cluster, place.host, forwarder.to(eventing.ports.platform))
    outside.lend_volume(cluster, NAMESPACE, f"{place.registry}/scheduler:{images}")
    try:
        program.apply()
        outside.reach(cluster, NAMESPACE, place.host)
        yield program
    finally:
        program.run("destroy", "-input=false", "-auto-approve", may=[0, 1])
        outside.take_ingress(cluster)
        outside.take_volume(cluster)


@pytest.fixture(scope="module")
def pods(cluster: Kubectl, terraform: Terraform) -> Pods:
    found = Pods(cluster)
    found.deployed()
    return found


@pytest.fixture(scope="module")
def platform(pods: Pods, eventing: Running) -> Iterator[Running]:
    """The local platform, up, in front of agents that are pods."""
    eventing.up("--sources", str(DOCUMENTS))
    yield eventing
    eventing.down()


def _port(url: str) -> int:
    return int(url.rpartition(":")[2].partition("/")[0])
