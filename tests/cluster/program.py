"""The program terraform, with the one provider that speaks to Kubernetes built from its module, and kubectl beside it."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.terraform.reading import TERRAFORM

PROVIDER, VERSION = "gavinbunney/kubectl", "1.19.0"
# The provider looks every ten seconds whether something is gone: at ten at once a destroy would take minutes.
AT_ONCE = {f"TF_CLI_ARGS_{command}": "-parallelism=50" for command in ("apply", "destroy")}
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "torpor-test" / "providers"


def mirror() -> Path:
    """A folder that providers are installed from; built the first time, which takes a minute or two."""
    built = CACHE / f"registry.terraform.io/{PROVIDER}/{VERSION}/linux_amd64/terraform-provider-kubectl_v{VERSION}"
    if not built.exists():
        built.parent.mkdir(parents=True, exist_ok=True)
        package = f"github.com/gavinbunney/terraform-provider-kubectl@v{VERSION}"
        subprocess.run(["go", "install", package], env={**os.environ, "GOBIN": str(built.parent)}, check=True)
        (built.parent / "terraform-provider-kubectl").rename(built)
    return CACHE


def authority(folder: Path) -> dict[str, str]:
    """A certificate authority for Kafka: its two files."""
    key, certificate = folder / "ca.key", folder / "ca.crt"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/O=Torpor/CN=test"]
    subprocess.run([*made, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return {"certificate": str(certificate), "key": str(key)}


class Terraform:
    """One root in a copy of the modules' folder, so that nothing is left in the source."""

    def __init__(self, root: str, folder: Path, repository: Path, variables: dict[str, Any]) -> None:
        copied = folder / "repository"
        shutil.copytree(TERRAFORM, copied / "terraform", ignore=shutil.ignore_patterns(".terraform*", "*.tfstate*"))
        (copied / "inference").symlink_to(repository / "inference")
        self.root = copied / "terraform" / "environments" / root
        self.state = self.root / "terraform.tfstate"
        (self.root / "terraform.tfvars.json").write_text(json.dumps(variables))
        settings = folder / "terraformrc"
        settings.write_text(f'provider_installation {{\n  filesystem_mirror {{\n    path = "{mirror()}"\n  }}\n}}\n')
        self._environment = {**os.environ, "TF_CLI_CONFIG_FILE": str(settings), "TF_IN_AUTOMATION": "1", **AT_ONCE}

    def run(self, *arguments: str, may: Sequence[int] = (0,)) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            ["terraform", *arguments], cwd=self.root, env=self._environment, capture_output=True, text=True, timeout=600
        )
        assert done.returncode in may, f"terraform {arguments[0]}:\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done

    def planned(self, **changed: Any) -> list[tuple[str, str]]:
        """What a plan would do: (action, address), with some variables changed."""
        self.run("plan", "-input=false", "-out=plan", *(f"-var={name}={_text(value)}" for name, value in changed.items()))
        plan = json.loads(self.run("show", "-json", "plan").stdout)
        return [
            ("+".join(change["change"]["actions"]), change["address"])
            for change in plan["resource_changes"]
            if change["change"]["actions"] not in (["no-op"], ["read"])
        ]

    def apply(self, **changed: Any) -> str:
        return self.run(
            "apply", "-input=false", "-auto-approve", *(f"-var={name}={_text(value)}" for name, value in changed.items())
        ).stdout

    def refused(self, **changed: Any) -> str:
        """What is said to values that cannot be; with the line breaks of the message's box taken out."""
        given = [f"-var={name}={_text(value)}" for name, value in changed.items()]
        said = self.run("plan", "-input=false", "-no-color", *given, may=[1]).stderr
        return " ".join(said.replace("│", " ").split())


class Kubectl:
    def __init__(self, kubeconfig: str) -> None:
        self._kubeconfig = kubeconfig

    def run(self, *arguments: str, given: str | None = None) -> str:
        done = subprocess.run(
            ["kubectl", "--kubeconfig", self._kubeconfig, *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}:\n{done.stderr[-2000:]}"
        return done.stdout

    def apply(self, *resources: dict[str, Any]) -> None:
        self.run(
            "apply",
            "--server-side",
            "--filename=-",
            given=json.dumps({"apiVersion": "v1", "kind": "List", "items": resources}),
        )

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run("get", kind, name, "-n", namespace, "-o", "json"))
        return found

    def names(self, kind: str, namespace: str) -> list[str]:
        return self.run("get", kind, "-n", namespace, "-o", "name", "--ignore-not-found").split()


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
