"""What a waking agent loads: a cold start is the product, so nothing heavy may creep into it. Names are checked, not times."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
AGENTS = sorted(path.parent for path in ROOT.glob("functions/*/func.yaml"))
# Beyond functions-framework and what it brings: the contracts' library, the store's, and our own.
ALLOWED = {
    "annotated_types", "eventing", "functions", "httptools", "inference", "obstore", "pydantic", "pydantic_core", "schemas",
    "typing_extensions", "typing_inspection",
}  # fmt: skip
SHOW = """
import json, os, runpy, sys
import uvicorn, httptools, functions_framework.aio
before = set(sys.modules)
functions_framework.aio.create_asgi_app(os.environ["FUNCTION_TARGET"], os.environ["FUNCTION_SOURCE"])
found = {name.partition(".")[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names) - {"main"}
print(json.dumps(sorted(name for name in found if not name.startswith("_sysconfigdata"))))
"""


@pytest.mark.parametrize("agent", AGENTS, ids=lambda path: path.name)
def test_an_agent_loads_nothing_heavy_to_wake(agent: Path):
    envs = yaml.safe_load((agent / "func.yaml").read_text())["run"]["envs"]
    named = {e["name"]: e["value"] for e in envs if "{{" not in e["value"]}
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("OTEL_", "TORPOR_"))} | named
    shown = subprocess.run([sys.executable, "-c", SHOW], env=environ, cwd=ROOT, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    assert set(json.loads(shown.stdout.splitlines()[-1])) <= ALLOWED


def test_an_event_loads_neither_yaml_nor_an_http_client_of_its_own(tmp_path: Path):
    """The workflow was found sound before, and is not parsed again."""
    code = """
import sys
from eventing import workflow
from eventing.runtime import Runtime
workflow.load(workflow.FOLDER / "research.yaml") if sys.argv[1] == "first" else None
runtime = Runtime({"TORPOR_STORE": "memory:///", "TORPOR_INGRESS": "http://127.0.0.1:1/torpor"})
runtime.workflow, runtime.steps, runtime.journal
print([name for name in ("yaml", "urllib3", "eventing.soundness") if name in sys.modules])
"""
    for turn, loaded in (("first", None), ("then", "[]")):
        shown = subprocess.run([sys.executable, "-c", code, turn], cwd=ROOT, capture_output=True, text=True, check=False)
        assert shown.returncode == 0, shown.stderr
        assert loaded is None or shown.stdout.strip() == loaded
