"""Units: one name for each, however it is written, and what it is a multiple of."""

from __future__ import annotations

_WRITTEN = (
    "bit byte qubit gate core euro dollar crown second minute hour day week fortnight month year decade century thousand"
    " million billion trillion round candidate submission time metre gram tonne parsec watt volt degree percent january"
    " february march april may june july august september october november december"
)
_KNOWN = frozenset(_WRITTEN.split())
_OTHERWISE = {
    "%": "percent", "ms": "millisecond", "kb": "kilobyte", "mb": "megabyte", "gb": "gigabyte", "km": "kilometre",
    "m": "metre", "meter": "metre", "kilometer": "kilometre", "kg": "kilogram", "ton": "tonne", "hr": "hour",
    "min": "minute", "centuries": "century",
}  # fmt: skip
_PREFIXES = {"kilo": 1e3, "mega": 1e6, "giga": 1e9, "tera": 1e12, "milli": 1e-3, "micro": 1e-6, "nano": 1e-9}
MULTIPLIERS = {"thousand": 1e3, "million": 1e6, "billion": 1e9, "trillion": 1e12}
_MULTIPLES = {  # unit -> what it is a multiple of, and how many
    "byte": ("bit", 8.0), "minute": ("second", 60.0), "hour": ("second", 3600.0), "day": ("second", 86_400.0),
    "week": ("second", 604_800.0), "fortnight": ("second", 1_209_600.0),
    "year": ("month", 12.0), "decade": ("month", 120.0), "century": ("month", 1200.0),
    "tonne": ("gram", 1e6),
}  # fmt: skip
NAMES = "|".join(sorted(_KNOWN - set(MULTIPLIERS), key=len, reverse=True))


def unit(word: str) -> str:
    """The unit that a word names, `kilometre` for `Km` and `kilometers`; empty where it is none that is known."""
    lower = word.lower()
    for written in (lower, lower.rstrip("s")):
        name = _OTHERWISE.get(written, written)
        prefix, base = _split(name)
        if base in _KNOWN:
            return prefix + base
    return ""


def scaled(name: str) -> tuple[str, float]:
    """The smallest unit of a unit's kind, and how many of it the unit is."""
    if name in MULTIPLIERS:
        return "", MULTIPLIERS[name]
    prefix, base = _split(name)
    smallest, factor = _MULTIPLES.get(base, (base, 1.0))
    return smallest, factor * _PREFIXES.get(prefix, 1.0)


def _split(name: str) -> tuple[str, str]:
    """A unit's prefix, which may be empty, and what it is put before."""
    prefixes = (prefix for prefix in _PREFIXES if name.removeprefix(prefix) in _KNOWN and name not in _KNOWN)
    prefix = next(prefixes, "")
    return prefix, name.removeprefix(prefix)
