"""The research workflow with real pods: the agents are Knative Services, and the local platform plays Eventing alone.

What Serving does (waking, holding, scaling, queueing, draining, rolling out) is the cluster's own here.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from eventing import kafka
from eventing.envelope import from_record
from eventing.local import model_server
from eventing.local.asking import ask
from eventing.local.mailbox import letters
from inference.testing import FakeServer, Scripted
from tests.cluster.forwarding import Forwarder
from tests.cluster.place import Place
from tests.cluster.pods import AGENTS, NAMESPACE, Pods
from tests.cluster.program import Kubectl, Terraform
from tests.local.running import LIMIT_S, Running, until

pytestmark = pytest.mark.timeout(900, func_only=True)  # images are built and applied before, which takes longer
SLOW = Scripted(delay_s=15.0)
QUESTION = "How large is an ML-KEM-768 ciphertext?"


@pytest.fixture(autouse=True)
def at_its_usual_pace(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    request.getfixturevalue("model").otherwise = Scripted()


def counts(platform: Running) -> Counter[str]:
    """What became of all deliveries so far."""
    told = json.loads(platform.torpor("ps", "--json").stdout)
    summed: Counter[str] = Counter()
    for delivery in told["deliveries"].values():
        summed.update(
            {name: number for name, number in delivery.items() if name not in ("lag", "failing", "failing_request")}
        )
    return summed


def untroubled(platform: Running, before: Counter[str]) -> None:
    """No event had to be sent again since then; the platform's log says why one was."""
    log = (platform.state / "logs" / "platform.log").read_text()
    assert counts(platform)["retries"] == before["retries"], log[-4000:]


def dead_letters(platform: Running) -> list[str]:
    """The request of each dead letter."""
    records = kafka.read(platform.config.bootstrap, ["agent_errors"])
    return [str(from_record(one.headers, one.key, one.value).get("partitionkey")) for one in records]


def mails(platform: Running, *requests: str) -> list[int]:
    """How many mails there are of each request."""
    arrived = [letter.message_id for letter in letters(platform.config.mailbox)]
    return [sum(request_id in message_id for message_id in arrived) for request_id in requests]


def asked(platform: Running, number: int) -> list[str]:
    """Requests, all at once; each asks what the documents answer, or else its research would end without a model's call."""
    with ThreadPoolExecutor(number) as many:
        return list(many.map(lambda _: platform.ask(QUESTION, 1, email="me@example.org"), range(number)))


def kept(platform: Running, model: FakeServer, requests: list[str], limit_s: float = 300) -> None:
    """Every request ends in a report and one mail, and no generation was bought twice."""
    for request_id in requests:
        platform.completed(request_id, limit_s)
    until(lambda: 0 not in mails(platform, *requests), "every mail", 120)
    assert set(mails(platform, *requests)) == {1}
    assert set(model.generations().values()) == {1}
    assert not [one for one in dead_letters(platform) if one in requests]


def test_a_request_wakes_the_agents_from_zero_ends_in_a_report_and_a_mail_and_leaves_zero(
    platform: Running, pods: Pods
) -> None:
    pods.none()
    before = counts(platform)
    done = platform.torpor("ask", QUESTION, "--to", "me@example.org", "--depth", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    request_id = done.stdout.split()[1]
    page = ask(f"{platform.gateway}/report/{request_id}", LIMIT_S)
    assert page.status == 200 and b"ML-KEM" in page.data
    until(lambda: mails(platform, request_id) == [1], "the mail")
    letter = next(one for one in letters(platform.config.mailbox) if request_id in one.message_id)
    assert (
        letter.to == "me@example.org" and f"http://gateway.{NAMESPACE}.torpor.example.com/report/{request_id}" in letter.text
    )
    untroubled(platform, before)  # what waited for a pod was held, not failed
    assert request_id not in dead_letters(platform)
    pods.none()


def test_probes_are_asked_and_answered(platform: Running, pods: Pods, place: Place) -> None:
    for agent in AGENTS:
        host = {"Host": f"{agent}.{NAMESPACE}.svc.cluster.local"}
        for probe in ("liveness", "readiness"):
            assert ask(f"{place.gateway}/health/{probe}", LIMIT_S, headers=host).status == 200, agent
        (container,) = pods.service(agent)["spec"]["template"]["spec"]["containers"]
        assert container["readinessProbe"]["httpGet"]["path"] == "/health/readiness"
        assert container["livenessProbe"]["httpGet"]["path"] == "/health/liveness"


def test_an_agent_writes_to_its_shared_memory_and_nowhere_else(platform: Running, pods: Pods, place: Place) -> None:
    ask(f"{place.gateway}/health/readiness", LIMIT_S, headers={"Host": f"validator.{NAMESPACE}.svc.cluster.local"})
    written = "import tempfile; print(tempfile.TemporaryFile().write(b'told'))"
    refused = "try: open('/tmp/told', 'w')\nexcept OSError as error: print(error)"
    (name, *_) = until(lambda: pods.ready("validator"), "a pod")
    inside = ("exec", name, "-n", NAMESPACE, "-c", "user-container", "--", "/bin/python", "-c")
    assert pods.kubectl.run(*inside, written) == "4\n"
    assert pods.kubectl.run(*inside, refused) == "[Errno 30] Read-only file system: '/tmp/told'\n"


def test_fifty_requests_at_once_scale_out_within_the_limits_and_finish(
    platform: Running, pods: Pods, model: FakeServer
) -> None:
    model.otherwise = Scripted(delay_s=1.0)
    with pods.counted() as most:
        kept(platform, model, asked(platform, 50), 600)
    limits = {agent: int(_annotation(pods, agent, "max-scale")) for agent in AGENTS}
    assert {agent: number for agent, number in most.items() if number > limits[agent]} == {}
    assert any(number > 1 for number in most.values()), most


def test_a_pod_is_given_no_more_than_it_takes_and_the_rest_waits(
    platform: Running, pods: Pods, model: FakeServer, cluster: Kubectl
) -> None:
    limit = pods.service("research-assistant")["spec"]["template"]["spec"]["containerConcurrency"]
    usual = _annotation(pods, "research-assistant", "max-scale")
    _annotate(pods, cluster, "research-assistant", {"autoscaling.knative.dev/max-scale": "1"})
    until(lambda: pods.kept("research-assistant") == pods.ready("research-assistant"), "no pod of another revision", 180)
    before = counts(platform)
    model.calls.clear()
    model.otherwise = Scripted(delay_s=20.0)
    try:
        requests = asked(platform, 3 * limit)
        until(lambda: _in_flight(platform) >= 3 * limit and len(_asking(model)) >= limit, f"{3 * limit} deliveries", 120)
        assert max(len(_asking(model)) for _ in range(30) if not time.sleep(0.1)) == limit
        assert len(pods.ready("research-assistant")) == 1
        model.otherwise = Scripted()
        kept(platform, model, requests, 600)
        untroubled(platform, before)  # who waited was not refused
    finally:
        _annotate(pods, cluster, "research-assistant", {"autoscaling.knative.dev/max-scale": usual})


def test_a_pod_that_is_killed_in_the_middle_of_a_step_loses_nothing(
    platform: Running, pods: Pods, model: FakeServer, cluster: Kubectl
) -> None:
    requests = _researched(platform, pods, model)
    before = counts(platform)["retries"]
    for name in pods.kept("research-assistant"):
        cluster.run("delete", "pod", name, "-n", NAMESPACE, "--force", "--grace-period=0")
    model.otherwise = Scripted()
    kept(platform, model, requests)
    assert counts(platform)["retries"] > before, "the kill was no kill"


def test_a_pod_that_is_scaled_down_finishes_what_it_does(
    platform: Running, pods: Pods, model: FakeServer, cluster: Kubectl
) -> None:
    requests = _researched(platform, pods, model)
    before = counts(platform)
    for name in pods.kept("research-assistant"):
        cluster.run("delete", "pod", name, "-n", NAMESPACE, "--wait=false")  # as the autoscaler's ReplicaSet does it
    kept(platform, model, requests)
    untroubled(platform, before)


def test_a_new_revision_that_is_rolled_out_under_load_loses_nothing(
    platform: Running, pods: Pods, model: FakeServer, cluster: Kubectl
) -> None:
    before = pods.service("validator")["status"]["latestReadyRevisionName"]
    model.otherwise = Scripted(delay_s=2.0)
    requests = asked(platform, 20)
    until(lambda: pods.ready("validator"), "the validator is awake", 120)
    _annotate(pods, cluster, "validator", {"torpor.dev/rolled-out": "again"})
    requests += asked(platform, 5)
    kept(platform, model, requests)
    (traffic,) = pods.service("validator")["status"]["traffic"]
    assert traffic["revisionName"] != before and traffic["percent"] == 100


def test_a_request_that_a_real_model_works_on_ends_in_a_report_and_a_mail(
    platform: Running, pods: Pods, terraform: Terraform, place: Place, forwarder: Forwarder, real_model: int, tmp_path: Path
) -> None:
    url = f"http://{place.host}:{forwarder.to(real_model)}/v1"
    server = {"name": "real", "url": url, "kind": "llama.cpp", "slots": model_server.SLOTS}
    pools = tmp_path / "real.yaml"
    pools.write_text(json.dumps({"pools": [{"name": "real", "models": [model_server.ALIAS], "servers": [server]}]}))
    platform.completed(platform.ask("What is awake when the model is replaced?"), 120)
    try:
        terraform.apply(pools=str(pools), models={"writer": model_server.ALIAS})
        pods.deployed()
        request_id = platform.ask(QUESTION, 1, email="me@example.org")
        platform.completed(request_id, 600)
        until(lambda: mails(platform, request_id) == [1], "the mail", 120)
        assert b"ML-KEM" in ask(f"{platform.gateway}/report/{request_id}", LIMIT_S).data
        said = ask(f"http://127.0.0.1:{real_model}/metrics", LIMIT_S).data.decode()
        tokens = next(line for line in said.splitlines() if line.startswith("llamacpp:tokens_predicted_total"))
        assert float(tokens.split()[-1]) > 0
    finally:
        terraform.apply()
        pods.deployed()


def test_an_image_that_cannot_be_run_fails_its_own_revision_and_nothing_else(
    platform: Running, pods: Pods, model: FakeServer, terraform: Terraform, place: Place
) -> None:
    before = pods.service("validator")["status"]["latestReadyRevisionName"]
    terraform.apply(images={"validator": f"{place.registry}/validator:nobody-built-this"})
    until(lambda: pods.service("validator")["status"]["latestCreatedRevisionName"] != before, "the revision", 60)
    until(lambda: any(_waits(pod) for pod in pods.of("validator")), "its pod cannot start", 120)
    kept(platform, model, asked(platform, 3))
    status = pods.service("validator")["status"]
    assert status["latestReadyRevisionName"] == before
    assert [one["revisionName"] for one in status["traffic"]] == [before]
    terraform.apply()
    until(lambda: pods.is_ready("validator"), "the Service is ready again", 120)
    kept(platform, model, asked(platform, 1))


def _researched(platform: Running, pods: Pods, model: FakeServer) -> list[str]:
    """Requests that the research assistant works on, since the model is slow."""
    model.calls.clear()
    model.otherwise = SLOW
    requests = asked(platform, 3)
    until(lambda: model.running, "the research assistant waits for the model", 180)
    return requests


def _annotate(pods: Pods, cluster: Kubectl, agent: str, annotations: dict[str, str]) -> None:
    """Change an agent's template, and wait until all of its traffic goes to the new revision."""
    before = pods.service(agent)["status"]["latestReadyRevisionName"]
    changed = {"spec": {"template": {"metadata": {"annotations": annotations}}}}
    cluster.run("patch", "ksvc", agent, "-n", NAMESPACE, "--type=merge", "-p", json.dumps(changed))

    def rolled_out() -> bool:
        status = pods.service(agent)["status"]
        return [one["revisionName"] for one in status["traffic"]] == [status["latestReadyRevisionName"]] != [before]

    until(rolled_out, f"a new revision of {agent}", 180)


def _asking(model: FakeServer) -> set[str]:
    """The requests whose research waits for the model; a step may ask several things at once."""
    waiting = [call.key.split("/") for call in model.calls if not call.tokens]
    return {request for request, step, *_ in waiting if step == "research"}


def _in_flight(platform: Running) -> int:
    return int(json.loads(platform.torpor("ps", "--json").stdout)["in_flight"])


def _annotation(pods: Pods, agent: str, name: str) -> str:
    found: str = pods.service(agent)["spec"]["template"]["metadata"]["annotations"][f"autoscaling.knative.dev/{name}"]
    return found


def _waits(pod: dict[str, Any]) -> bool:
    """Whether a container cannot get its image."""
    states = (one.get("state", {}).get("waiting", {}) for one in pod["status"].get("containerStatuses", ()))
    return any(waiting.get("reason") in {"ErrImagePull", "ImagePullBackOff"} for waiting in states)
