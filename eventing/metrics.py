"""Counters of a process, shown as Prometheus wants them; small, since every agent that wakes loads this first."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_ALL: list[Counter | Histogram] = []


class Counter:
    """A number for each combination of labels, which only grows; its name ends in `_total`."""

    kind = "counter"

    def __init__(self, name: str, told: str, labels: Sequence[str]) -> None:
        self.name, self.told = name, told
        self._labels = tuple(labels)
        self._values: dict[tuple[str, ...], float] = {}
        _ALL.append(self)

    def add(self, *labels: str, by: float = 1.0) -> None:
        """Count `by` more under these labels."""
        if len(labels) != len(self._labels):
            raise ValueError(f"{self.name} has the labels {', '.join(self._labels)}; it was given {labels}")
        self._values[labels] = self._values.get(labels, 0.0) + by

    def value(self, *labels: str) -> float:
        return self._values.get(labels, 0.0)

    def samples(self) -> Iterator[str]:
        for labels, value in self._values.items():
            yield _sample(self.name, self._labels, labels, value)


class Histogram:
    """How many observations were at most as large as each bound, for each combination of labels."""

    kind = "histogram"

    def __init__(self, name: str, told: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self.name, self.told = name, told
        self._labels = (*labels, "le")
        self._bounds = tuple(bounds)
        self._counts: dict[tuple[str, ...], list[int]] = {}
        self._sums: dict[tuple[str, ...], float] = {}
        _ALL.append(self)

    def observe(self, value: float, *labels: str) -> None:
        counts = self._counts.setdefault(labels, [0] * (len(self._bounds) + 1))
        counts[bisect_left(self._bounds, value)] += 1
        self._sums[labels] = self._sums.get(labels, 0.0) + value

    def samples(self) -> Iterator[str]:
        for labels, counts in self._counts.items():
            for bound, count in zip((*map(_number, self._bounds), "+Inf"), accumulate(counts), strict=True):
                yield _sample(f"{self.name}_bucket", self._labels, (*labels, bound), count)
            yield _sample(f"{self.name}_sum", self._labels[:-1], labels, self._sums[labels])
            yield _sample(f"{self.name}_count", self._labels[:-1], labels, sum(counts))


def exposition() -> str:
    """Everything that was counted, in Prometheus' text format 0.0.4."""
    lines: list[str] = []
    for metric in _ALL:
        lines += [f"# HELP {metric.name} {metric.told}", f"# TYPE {metric.name} {metric.kind}", *metric.samples()]
    return "\n".join(lines) + "\n"


def _sample(name: str, labels: Sequence[str], values: Sequence[str], value: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(text)}"' for label, text in zip(labels, values, strict=True))
    return f"{name}{{{pairs}}} {_number(value)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
