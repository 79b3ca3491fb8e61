"""Data that a contract takes: what a test begins with."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from eventing.scaffold.errors import ScaffoldError
from schemas import Contract

_FORMATS = {"uuid": "00000000-0000-4000-8000-000000000001", "date-time": "2026-01-01T12:00:00Z", "date": "2026-01-01"}


def sample(contract: type[Contract]) -> dict[str, Any]:
    """An object with what the contract requires, and no more.

    Raises:
        ScaffoldError: when its rules are beyond this; the test must be written by hand then.
    """
    schema = contract.model_json_schema()
    made = dict(_of(schema, schema, contract.__name__))
    try:
        contract.model_validate_json(json.dumps(made))
    except ValidationError as error:
        told = f"no sample of {contract.__name__} ({contract.event}) could be made for the test"
        raise ScaffoldError(f"{told}; name another event with --takes: {error.errors()[0]['msg']}") from error
    return made


def _of(rule: dict[str, Any], root: dict[str, Any], name: str) -> Any:
    if "$ref" in rule:
        return _of(root["$defs"][rule["$ref"].rpartition("/")[2]], root, name)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in rule:
            return _of(rule[several][0], root, name)
    if "const" in rule or "enum" in rule:
        return rule.get("const", rule.get("enum", [None])[0])
    kind = rule.get("type", "string")
    if kind == "object":
        return {key: _of(rule["properties"][key], root, key) for key in rule.get("required", ())}
    if kind == "array":
        return [_of(rule.get("items", {}), root, name)] * int(rule.get("minItems", 0))
    if kind in ("integer", "number"):
        return rule.get("minimum", rule.get("exclusiveMinimum", 0) + 1)
    if kind == "boolean":
        return False
    return _FORMATS.get(rule.get("format", ""), name.ljust(int(rule.get("minLength", 0)), "."))
