"""What stands in a folder of Terraform files, by a parser alone."""

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import hcl2

ROOT = Path(__file__).parents[2]
TERRAFORM = ROOT / "terraform"
MODULES = sorted(path for path in (TERRAFORM / "modules").iterdir() if path.is_dir())
ROOTS = sorted({path.parent for path in (TERRAFORM / "environments").rglob("main.tf") if ".terraform" not in path.parts})


@dataclass
class Folder:
    """Blocks by kind, then by their labels with a dot between."""

    path: Path
    blocks: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        return self.blocks.get(kind, {})


@cache
def read(path: Path) -> Folder:
    folder = Folder(path)
    for file in sorted(path.glob("*.tf")):
        for kind, found in hcl2.loads(file.read_text()).items():
            for block in found if not kind.startswith("__") else ():  # comments
                _put(folder.blocks.setdefault(kind, {}), block, ())
    return folder


def plain(text: Any) -> str:
    """A string's own text, without the quotes that the parser leaves."""
    return str(text).removeprefix('"').removesuffix('"')


def _put(into: dict[str, dict[str, Any]], block: dict[str, Any], labels: tuple[str, ...]) -> None:
    if block.get("__is_block__"):
        into[".".join(labels)] = block
        return
    for label, inner in block.items():
        _put(into, inner, (*labels, plain(label)))
