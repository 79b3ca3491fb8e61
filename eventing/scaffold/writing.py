"""Templates, and writing files only where none are."""

from __future__ import annotations

import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from string import Template

from eventing.scaffold.errors import ScaffoldError

_TEMPLATES = Path(__file__).parent / "templates"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,40}")


def filled(template: str, **values: str) -> str:
    """A template's text with its $names replaced."""
    return Template((_TEMPLATES / f"{template}.txt").read_text()).substitute(values)


def named(name: str) -> str:
    """A name for folder, module and topic, checked; dashes become underscores.

    Raises:
        ScaffoldError: when it cannot be one.
    """
    chosen = name.replace("-", "_")
    if not _NAME.fullmatch(chosen):
        raise ScaffoldError(f"{name!r} cannot be a name: lower-case letters, digits and _, a letter first, at most 41")
    if keyword.iskeyword(chosen):
        raise ScaffoldError(f"{name!r} cannot be a name: it is a word of Python's own, and no module can be called that")
    return chosen


def camel(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("_"))


def write(root: Path, texts: Mapping[str, str]) -> list[str]:
    """Write every file, or none when one of them is there already; their paths.

    Raises:
        ScaffoldError: naming what is in the way.
    """
    there = [path for path in texts if (root / path).exists()]
    if there:
        raise ScaffoldError(f"{', '.join(there)} in {root} would be written over: choose another name, or an empty folder")
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    return list(texts)
