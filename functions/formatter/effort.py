"""What a report took: time, tokens and cost, from the steps that the result names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from schemas import ResearchResult, StepState

_PRICE = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([A-Za-z]{3}|[€$£¥])?")
_SMALLEST = Decimal("0.0001")


@dataclass(frozen=True)
class Work:
    """What one agent did for the report."""

    agent: str
    runs: int
    wakes: int
    duration_ms: int
    tokens: int
    cost: str


@dataclass(frozen=True)
class Effort:
    """What all agents did; `elapsed_ms` from the first step's beginning to the last one's end."""

    agents: tuple[Work, ...]
    total: Work
    elapsed_ms: int
    ended: datetime | None
    price: str

    @property
    def known(self) -> bool:
        return bool(self.agents)


def effort(result: ResearchResult) -> Effort:
    """The effort behind a result; the same for the same result."""
    names = dict.fromkeys(step.agent for step in result.steps)
    spans = [_span(step) for step in result.steps]
    ended = max((end for _, end in spans), default=None)
    elapsed = ended - min(start for start, _ in spans) if ended else timedelta()
    return Effort(
        agents=tuple(_work(name, [s for s in result.steps if s.agent == name], result.price) for name in names),
        total=_work("all", result.steps, result.price),
        elapsed_ms=round(elapsed / timedelta(milliseconds=1)),
        ended=ended,
        price=_told(result.price),
    )


def _span(step: StepState) -> tuple[datetime, datetime]:
    end = datetime.fromisoformat(step.at)
    return end - timedelta(milliseconds=step.duration_ms or 0), end


def _work(agent: str, steps: Iterable[StepState], price: str) -> Work:
    done = list(steps)
    tokens = sum(step.tokens or 0 for step in done)
    return Work(
        agent=agent.replace("_", " "),
        runs=len(done),
        wakes=sum(step.coldstart for step in done),
        duration_ms=sum(step.duration_ms or 0 for step in done),
        tokens=tokens,
        cost=cost(tokens, price),
    )


def cost(tokens: int, price: str) -> str:
    """What so many tokens cost at a price per million; empty where no price is known."""
    found = _PRICE.fullmatch(price)
    if not found:
        return ""
    amount = Decimal(found[1]) * tokens / 1_000_000
    unit = (found[2] or "USD").upper()
    if 0 < amount < _SMALLEST:
        return f"under {_SMALLEST} {unit}"
    return f"{amount.quantize(Decimal('0.01') if amount >= 1 else _SMALLEST):,f} {unit}"


def _told(price: str) -> str:
    found = _PRICE.fullmatch(price)
    if found:
        return f"{found[1]} {(found[2] or 'USD').upper()} for a million tokens"
    return f"not known: the price {price!r} is not like '0.60 EUR'" if price else ""


def duration(milliseconds: int) -> str:
    """A duration as people say it: 0.4 s, 12 s, 3 min 5 s."""
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
