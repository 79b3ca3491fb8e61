"""README and docs: their examples run, their links lead somewhere, and every setting that the code reads is told.

A block is tested when its fence says so: ```python tested, ```json tested (an event), ```yaml tested (a workflow file),
```sh tested (commands; localhost:8080 is a real gateway). The Python blocks of a page are one program, in their order.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from eventing.adapter import validated
from eventing.envelope import from_json
from eventing.workflow import load
from schemas import contract_for
from tests.eventing import serving

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_BLOCK = re.compile(r"^```(\w+) tested\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?:\]\(|srcset=\"|src=\")([^)\"\s]+)")
_VARIABLE = re.compile(r"\b(?:TORPOR|OTEL|K|FUNCTION|XDG)_[A-Z_]+[A-Z]\b")


def blocks(language: str) -> list[tuple[str, str]]:
    """Page and text of every tested block in a language."""
    return [(page.name, text) for page in PAGES for kind, text in _BLOCK.findall(page.read_text()) if kind == language]


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with serving.gateway() as url:
        yield url


@pytest.mark.parametrize("page", sorted({name for name, _ in blocks("python")}))
def test_the_python_of_a_page_runs(page: str) -> None:
    scope: dict[str, object] = {"__name__": "example"}
    for name, text in blocks("python"):
        if name == page:
            path = ROOT / ".pytest_cache" / f"{page}.py"  # what an agent is told by: inspect reads a function's file
            code = compile(text, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            running = eval(code, scope)
            if inspect.iscoroutine(running):
                asyncio.run(running)


@pytest.mark.parametrize(("page", "text"), blocks("json"))
def test_an_event_that_is_shown_keeps_its_contract(page: str, text: str) -> None:
    event = from_json(text)
    validated(event, contract_for(event.type))


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_a_workflow_that_is_shown_can_work(page: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / "workflow.yaml"
    path.write_text(text)
    load(path)


@pytest.mark.parametrize(("page", "text"), blocks("sh"))
def test_commands_that_are_shown_work(page: str, text: str, gateway: str, tmp_path: Path) -> None:
    folder = Path(sys.executable).parent
    environ = {name: value for name, value in os.environ.items() if not name.startswith("TORPOR_")}
    environ |= {"PATH": f"{folder}:{environ['PATH']}", "TORPOR_STATE": str(tmp_path)}
    script = text.replace("http://localhost:8080", gateway).replace("localhost:8080", gateway)
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in _LINK.findall(page.read_text()):
        if link.startswith(("http:", "https:", "mailto:")):
            continue
        target, _, heading = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name} links to {link}"
        if heading:
            found = {_anchor(line) for line in path.read_text().splitlines() if line.startswith("#")}
            assert heading in found, f"{page.name} links to {link}; {path.name} has {sorted(found)}"


def _anchor(line: str) -> str:
    return re.sub(r"[^\w\- ]", "", line.lstrip("# ").lower()).replace(" ", "-")


def test_every_environment_variable_that_the_code_reads_is_told_and_no_other() -> None:
    code = [path for room in ("eventing", "inference", "functions") for path in (ROOT / room).rglob("*.py")]
    read = {
        name
        for path in code
        for line in re.findall(r"[\"'][^\"'\n]*[\"']", path.read_text())
        for name in _VARIABLE.findall(line)
    }
    told = set(_VARIABLE.findall((ROOT / "docs" / "configuration.md").read_text()))
    assert read - told == set(), "tell them in docs/configuration.md"
    known = read | {"FUNCTION_TARGET"}
    assert {name for name in told - known if not name.startswith("TORPOR_SETTING_")} == set(), "nothing reads these"
