"""Whether a contract's new schema only adds to its released one."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

# keyword -> True when a larger value is the narrower rule
_BOUNDS = {"minimum": True, "minLength": True, "minItems": True, "maximum": False, "maxLength": False, "maxItems": False}


def breaks(old: Schema, new: Schema) -> list[str]:
    """Every way in which `new` refuses, or lacks, what `old` took; empty when it only adds."""
    return _compare(old, new, old, new, "$", set())


def _compare(old: Schema, new: Schema, old_root: Schema, new_root: Schema, at: str, seen: set[str]) -> list[str]:
    if "$ref" in old:
        if old["$ref"] in seen:
            return []
        seen = seen | {old["$ref"]}
    old, new = _resolve(old, old_root), _resolve(new, new_root)
    found = _narrowed(old, new, at)
    gone = set(old.get("properties", {})) - set(new.get("properties", {}))
    found += [f"{at}.{name} was removed; fields are only added" for name in sorted(gone)]
    required = set(new.get("required", [])) - set(old.get("required", []))
    found += [f"{at}.{name} became required; new fields need a default" for name in sorted(required)]
    for name, rule in old.get("properties", {}).items():
        if name in new.get("properties", {}):
            found += _compare(rule, new["properties"][name], old_root, new_root, f"{at}.{name}", seen)
    if "items" in old and "items" in new:
        found += _compare(old["items"], new["items"], old_root, new_root, f"{at}[]", seen)
    return found


def _resolve(schema: Schema, root: Schema) -> Schema:
    for wrapper in ("allOf",):
        if len(schema.get(wrapper, [])) == 1:
            schema = {**schema[wrapper][0], **{k: v for k, v in schema.items() if k != wrapper}}
    if "$ref" in schema:
        return dict(root["definitions"][schema["$ref"].rsplit("/", 1)[1]])
    return schema


def _types(schema: Schema) -> set[str]:
    options = schema.get("anyOf") or schema.get("oneOf") or [schema]
    return {str(option.get("type", option.get("$ref", option.get("const", "any")))) for option in options}


def _narrowed(old: Schema, new: Schema, at: str) -> list[str]:
    found = [f"{at} no longer takes {kind}" for kind in sorted(_types(old) - _types(new))]
    for keyword, larger_is_narrower in _BOUNDS.items():
        before, after = old.get(keyword), new.get(keyword)
        if after is None or after == before:
            continue
        if before is None or (after > before) == larger_is_narrower:
            found.append(f"{at}: {keyword} went from {before} to {after}, which refuses what was taken before")
    if new.get("pattern") not in (None, old.get("pattern")):
        found.append(f"{at}: pattern changed from {old.get('pattern')} to {new['pattern']}")
    allowed: list[Any] = old.get("enum", [])
    gone = set(map(str, allowed)) - set(map(str, new.get("enum", allowed)))
    return found + [f"{at} no longer takes the value {value}" for value in sorted(gone)]
