"""A value that a JSON Schema allows: what the fakes answer with where nobody scripted an answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

WORDS = "This is what the fake model says. "
# tried where a pattern is asked for
CANDIDATES = ("a", "A", "1", "abc", "the fake model", "ab-c", "P30D", "1.0.0", "0" * 32, "0" * 40, "0" * 64, "EUR")
BY_FORMAT = {
    "uuid": "00000000-0000-4000-8000-000000000000",
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "uri": "https://example.org/",
    "email": "someone@example.org",
}


def example(schema: Mapping[str, Any], root: Mapping[str, Any] | None = None) -> Any:
    """A value that a JSON Schema as pydantic writes them allows; a `pattern` only if it is simple."""
    root = schema if root is None else root
    if "$ref" in schema:
        return example(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    for many in ("anyOf", "oneOf", "allOf"):
        if many in schema:  # a null satisfies whatever else it stands beside
            return example(next((one for one in schema[many] if one.get("type") == "null"), schema[many][0]), root)
    if "const" in schema or "enum" in schema:
        return schema["const"] if "const" in schema else schema["enum"][0]
    kind = schema.get("type", "string")
    if kind == "object":
        return {name: example(inner, root) for name, inner in schema.get("properties", {}).items()}
    if kind == "array":
        item = example(schema.get("items") or {}, root)
        return [item] * min(max(1, schema.get("minItems", 0)), schema.get("maxItems", 1_000))
    if kind == "string" and "pattern" in schema:
        return _matching(schema["pattern"])
    if kind == "string":
        least, most = schema.get("minLength", 0), schema.get("maxLength", 1_000)
        return (
            BY_FORMAT.get(schema.get("format", "")) or (WORDS * (1 + least // len(WORDS))).strip().ljust(least, ".")[:most]
        )
    return {"boolean": True, "null": None}.get(kind, _number(schema)) if kind != "integer" else int(_number(schema))


def _number(schema: Mapping[str, Any]) -> float:
    least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
    return float(min(max(1, least), schema.get("maximum", schema.get("exclusiveMaximum", 1e9))))


def _matching(pattern: str) -> str:
    """A text that matches: one of the candidates, alone or between the literal beginning and end of the pattern."""
    literal = r"((?:[A-Za-z0-9 ,:'-]|\\\W)*)"
    begins, ends = re.match(r"\^?" + literal, pattern), re.search(r"[]})*+]" + literal + r"\$?$", pattern)
    start, end = (re.sub(r"\\(\W)", r"\1", found[1]) if found else "" for found in (begins, ends))
    plain = (*CANDIDATES, *BY_FORMAT.values())
    return next((text for text in (*plain, *(f"{start}{word}{end}" for word in plain)) if re.search(pattern, text)), WORDS)
