"""What docs/local.md says of Knative's behaviour is shown by tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_NAMED = re.compile(r"^`(test_\w+\.py)::(test_\w+)`$")


def _items() -> list[tuple[str, str, str]]:
    """Item, source and test of every row of the table, headings left out."""
    page = (ROOT / "docs/local.md").read_text()
    table = page.split("| what | as in | test |\n|---|---|---|\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    return [(what, source, test) for what, source, test in rows if not what.startswith("**")]


@pytest.mark.parametrize(("what", "source", "test"), _items())
def test_an_item_names_its_source_and_a_test_that_exists(what: str, source: str, test: str) -> None:
    named = _NAMED.match(test)
    assert named, f"{what}: names no test, but {test!r}"
    file, function = named.groups()
    tree = ast.parse((ROOT / "tests/local" / file).read_text())
    there = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert function in there, f"{what}: tests/local/{file} has no {function}"
    assert source, f"{what}: names no source"


def test_an_item_stands_once() -> None:
    items = [what for what, _, _ in _items()]
    assert len(items) == len(set(items)) > 0
