"""What a report took: time, tokens and cost, from the steps that the result names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from schemas import ResearchResult, StepState

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
    refused: int = 0  # model calls that the budget had no room for

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
        agents=tuple(_work(name, [s for s in result.steps if s.agent == name]) for name in names),
        total=_work("all", result.steps),
        elapsed_ms=round(elapsed / timedelta(milliseconds=1)),
        ended=ended,
        refused=sum(step.refused_calls for step in result.steps),
    )


def _span(step: StepState) -> tuple[datetime, datetime]:
    end = datetime.fromisoformat(step.at)
    return end - timedelta(milliseconds=step.duration_ms or 0), end


def _work(agent: str, steps: Iterable[StepState]) -> Work:
    done = list(steps)
    return Work(
        agent=agent.replace("_", " "),
        runs=len(done),
        wakes=sum(step.coldstart for step in done),
        duration_ms=sum(step.duration_ms or 0 for step in done),
        tokens=sum(step.tokens or 0 for step in done),
        cost=cost(done),
    )


def cost(steps: Iterable[StepState]) -> str:
    """What steps cost, by currency; empty where none says a cost."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for step in steps:
        if step.cost:
            sums[step.currency] += Decimal(str(step.cost))
    return " and ".join(_amount(sums[currency], currency) for currency in sorted(sums))


def _amount(amount: Decimal, currency: str) -> str:
    if amount < _SMALLEST:
        return f"under {_SMALLEST} {currency}"
    return f"{amount.quantize(Decimal('0.01') if amount >= 1 else _SMALLEST):,f} {currency}"


def duration(milliseconds: int) -> str:
    """A duration as people say it: 0.4 s, 12 s, 3 min 5 s."""
    seconds = milliseconds / 1000
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
