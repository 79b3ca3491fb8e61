"""Trigger filters: which events a Trigger takes. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from eventing.envelope import Event

Filter = Callable[[Event], bool]
_NAME = re.compile("[a-z][a-z0-9]*")


class FilterError(ValueError):
    """A filter that cannot be honoured; `where` is its path below `spec`."""

    def __init__(self, where: str, why: str) -> None:
        self.where, self.why = where, why
        super().__init__(f"{where}: {why}")


_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "exact": lambda given, wanted: given == wanted,
    "prefix": lambda given, wanted: given.startswith(wanted),
    "suffix": lambda given, wanted: given.endswith(wanted),
}


def trigger_filter(attributes: Mapping[str, Any] | None, filters: Sequence[Any] | None) -> Filter:
    """The filter of a Trigger from `spec.filter.attributes` and `spec.filters`; the latter win where there are any.

    Raises:
        FilterError: naming the part that is wrong, or that the local platform cannot honour.
    """
    if filters:
        return _every([_dialect(f, f"filters[{n}]") for n, f in enumerate(filters)])
    return _attributes("exact", attributes or {}, "filter.attributes")


def _dialect(wanted: Any, where: str) -> Filter:
    if not isinstance(wanted, Mapping) or len(wanted) != 1:
        raise FilterError(where, f"must be one dialect (exact, prefix, suffix, all, any, not), got {wanted!r}")
    ((name, content),) = wanted.items()
    where = f"{where}.{name}"
    if name in _MATCHES:
        if not content:
            raise FilterError(where, "must name at least one attribute")
        return _attributes(name, content, where)
    if name in ("all", "any"):
        return _group(name, content, where)
    if name == "not":
        inner = _dialect(content, where)
        return lambda event: not inner(event)
    if name == "cesql":
        raise FilterError(where, "cesql is not known to the local platform; use exact, prefix, suffix, all, any, not")
    raise FilterError(where, "unknown dialect; known are exact, prefix, suffix, all, any, not")


def _group(name: str, content: Any, where: str) -> Filter:
    if not isinstance(content, Sequence) or isinstance(content, str) or not content:
        raise FilterError(where, f"must be a list of filters, got {content!r}")
    inner = [_dialect(f, f"{where}[{n}]") for n, f in enumerate(content)]
    if name == "all":
        return _every(inner)
    return lambda event: any(f(event) for f in inner)


def _every(inner: Sequence[Filter]) -> Filter:
    return lambda event: all(f(event) for f in inner)


def _attributes(dialect: str, content: Any, where: str) -> Filter:
    """All the attributes must match; an empty value takes any event, as in Eventing."""
    if not isinstance(content, Mapping):
        raise FilterError(where, f"must be a mapping of attributes to values, got {content!r}")
    for name, value in content.items():
        if not _NAME.fullmatch(str(name)):
            raise FilterError(f"{where}.{name}", "must be a letter, then letters and digits, all of them lower-case")
        if not isinstance(value, str):
            raise FilterError(f"{where}.{name}", f"must be text, got {value!r}; quote it")
    wanted = {name: value for name, value in content.items() if value}
    match = _MATCHES[dialect]
    return lambda event: all(match(event.get(name), value) for name, value in wanted.items())
