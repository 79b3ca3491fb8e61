"""What a step cost, as its first answer carries it: `0.001234 EUR`. The scheduler says it; nothing here knows a price."""

from __future__ import annotations

import re
from decimal import Decimal

_COST = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,8})?) ([A-Z]{3})")


def told(cost: float, currency: str) -> dict[str, str]:
    """The attribute `cost`, where something is known to have cost something."""
    if cost <= 0:
        return {}
    text = f"{Decimal(str(round(cost, 8))):f} {currency}"
    return {"cost": text} if _COST.fullmatch(text) else {}


def read(text: str) -> tuple[float, str] | None:
    """Amount and currency, or None where a text says neither."""
    found = _COST.fullmatch(text)
    return (float(found[1]), found[2]) if found else None
