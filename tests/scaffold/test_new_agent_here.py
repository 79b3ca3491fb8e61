"""`torpor new agent` in this repository: what it makes passes what every agent here must pass, and nothing drifts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKS = (
    ["-m", "unittest", "tests.functions.test_translator"],
    ["-m", "eventing.manifests", "--check"],
    ["-m", "schemas.export", "--check"],
    ["-m", "ruff", "check", "functions", "schemas", "tests/functions"],
    ["-m", "ruff", "format", "--check", "functions", "schemas", "tests/functions"],
    ["-m", "pytest", "-q", "tests/functions/test_func_yaml.py", "tests/functions/test_translator.py", "tests/schemas"],
)


def test_a_new_agent_in_this_repository_passes_as_made(tmp_path: Path) -> None:
    for name in ("schemas", "eventing", "inference", "functions", "tests", "docs"):
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, tmp_path)
    environ = {**os.environ, "PYTHONPATH": str(tmp_path)}

    def run(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100
        )
        assert done.returncode == 0, f"{' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    said = run("-m", "eventing.cli", "new", "agent", "translator")
    assert "research: 8 steps, 7 agents" in said and "eventing/workflows/research.yaml" in said
    assert "offers: [translator_done]" in (tmp_path / "eventing/workflows/research.yaml").read_text()
    for check in CHECKS:
        run(*check)
