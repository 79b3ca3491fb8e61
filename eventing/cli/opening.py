"""What `torpor ask` sends: a text, put where the workflow's opening contract has its text; or a whole JSON object."""

from __future__ import annotations

import json
from typing import Any

from eventing.cli import gateway
from eventing.cli.errors import CommandError
from eventing.harmless import printable


def body(url: str, text: str, depth: int, metadata: dict[str, Any]) -> dict[str, Any]:
    """The request; depth and metadata are sent where the workflow knows them.

    Raises:
        CommandError: when the text is broken JSON, or the workflow takes no text.
    """
    if text.lstrip().startswith("{"):
        try:
            return dict(json.loads(text))
        except ValueError as error:
            raise CommandError(f"what begins with {{ must be a JSON object: {error}") from None
    schema = json.loads(gateway.call("GET", f"{url}/requests"))
    known, required = schema.get("properties", {}), schema.get("required", [])
    texts = [name for name in required if known[name].get("type") == "string"]
    if not texts:
        raise CommandError(f"this workflow is not asked with a text; give a JSON object with {_told(known, required)}")
    made: dict[str, Any] = {texts[0]: text}
    if "depth" in known:
        made["depth"] = depth
    if metadata and "metadata" in known:
        made["metadata"] = metadata
    if missing := [name for name in required if name not in made]:
        raise CommandError(f"this workflow needs {', '.join(missing)} too; give a JSON object with {_told(known, required)}")
    return made


def _told(known: dict[str, Any], required: list[str]) -> str:
    return ", ".join(f"{name} ({known[name].get('type', 'object')})" for name in required) or "its fields"


def answer(url: str, request_id: str) -> str:
    """What a request ended with, for people: the text alone where there is nothing else."""
    found = json.loads(gateway.call("GET", f"{url}/requests/{request_id}/answer"))
    rest = {name: value for name, value in found.items() if name != "request_id"}
    only = next(iter(rest.values())) if len(rest) == 1 else None
    return printable(only.strip() if isinstance(only, str) else json.dumps(rest, indent=2, ensure_ascii=False))
