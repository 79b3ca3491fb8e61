"""A verdict told: in lines for a terminal, as JSON, and as a picture of progress with the faults marked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape
from typing import Any

from eventing.chaos.observing import Observations, Struck
from eventing.chaos.verdict import Recovery, Verdict, middle

_SHOWN = 5  # of what broke one promise
_WIDTH, _HEIGHT, _LEFT, _TOP = 960, 300, 108, 28
_STEPS_S = (1, 5, 10, 30, 60, 120, 300, 600, 1800)  # between two marks of the time


def lines(verdict: Verdict, run: Observations) -> Iterator[str]:
    """The report for a terminal."""
    took = run.over - run.begun
    yield f"{verdict.requests} requests in {took:.0f} s: {verdict.complete} complete, {sum(verdict.failed.values())} failed"
    for reason, times in sorted(verdict.failed.items(), key=lambda one: -one[1]):
        yield f"  failed {times}: {reason}"
    yield f"{verdict.generations} generations for {verdict.call_keys} call keys: {verdict.per_key:.3f}"
    yield f"{verdict.tokens_twice} tokens bought twice; {verdict.delivered_again} records repeated; {_dead(verdict)}"
    for request in verdict.mailed_again:
        yield f"  {request} got its mail again, with the same Message-ID: its sender or mail server died before the mark"
    for one in verdict.recovery:
        yield _recovery(one)
    for missed in run.missed:
        yield f"  missed  {missed}"
    for promise in verdict.promises:
        yield f"{'kept  ' if promise.kept else 'BROKEN'}  {promise.name}"
        yield from (f"        {broken}" for broken in promise.broken[:_SHOWN])
        if len(promise.broken) > _SHOWN:
            yield f"        and {len(promise.broken) - _SHOWN} more"
    for name, why in verdict.unjudged:
        yield f"unknown  {name}: {why}"


def _dead(verdict: Verdict) -> str:
    return f"{verdict.dead_letters} dead letters"


def _recovery(one: Recovery) -> str:
    told = f"  {one.kind:<18} {one.times:>3} times"
    for seconds, what in ((one.any, "next progress"), (one.own, "of the same agent"), (one.stalls, "longest pause")):
        if seconds:
            told += f"; {what} {middle(seconds):.2f} s, at worst {max(seconds):.2f} s"
    return told


def content(verdict: Verdict, run: Observations, scenario: str) -> dict[str, Any]:
    """The report as JSON; its fields are described in docs/chaos.md."""
    recovery = {
        one.kind: {
            "times": one.times,
            "next_progress_s": _figures(one.any),
            "same_agent_s": _figures(one.own),
            "longest_pause_s": _figures(one.stalls),
        }
        for one in verdict.recovery
    }
    return {
        "scenario": scenario,
        "kept": verdict.kept,
        "promises": [{"name": p.name, "kept": p.kept, "broken": list(p.broken)} for p in verdict.promises],
        "unjudged": dict(verdict.unjudged),
        "seconds": round(run.over - run.begun, 1),
        "requests": verdict.requests,
        "complete": verdict.complete,
        "failed": verdict.failed,
        "dead_letters": verdict.dead_letters,
        "mailed_again": list(verdict.mailed_again),
        "records_repeated": verdict.delivered_again,
        "generations": verdict.generations,
        "call_keys": verdict.call_keys,
        "generations_per_key": round(verdict.per_key, 4),
        "tokens_twice": verdict.tokens_twice,
        "recovery": recovery,
        "faults": [asdict(one) for one in run.struck],
        "missed": list(run.missed),
    }


def _figures(seconds: Sequence[float]) -> dict[str, float] | None:
    return {"median": round(middle(seconds) or 0.0, 3), "worst": round(max(seconds), 3)} if seconds else None


def picture(run: Observations) -> str:
    """An SVG: requests taken and ended over time, and each fault where it struck."""
    ended: dict[str, float] = {}
    for event in run.events:
        if event.type in run.ends and event.request in run.admitted and not event.dead:
            ended.setdefault(event.request, event.at)
    span, most = max(run.over - run.begun, 1.0), max(len(run.admitted), 1)
    kinds = sorted({one.kind for one in run.struck})
    height = _HEIGHT + 16 * len(kinds)

    def x(at: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - 16) * min(max(at - run.begun, 0.0), span) / span

    def curve(moments: Sequence[float], color: str) -> str:
        points = [(float(_LEFT), _HEIGHT - 24.0)]
        for number, at in enumerate(sorted(moments), start=1):
            points.append((x(at), _HEIGHT - 24 - (_HEIGHT - 24 - _TOP) * number / most))
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        return f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="2"/>'

    marks = [_mark(one, x(one.at), _HEIGHT + 16 * kinds.index(one.kind)) for one in run.struck]
    named = [f'<text x="4" y="{_HEIGHT + 16 * n + 4}">{escape(kind)}</text>' for n, kind in enumerate(kinds)]
    step = next((step for step in _STEPS_S if span / step <= 10), _STEPS_S[-1])
    ticks = [
        f'<text x="{x(run.begun + at):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{at} s</text>'
        for at in range(0, int(span) + 1, step)
    ]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">',
        f'<rect width="{_WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="16">{len(run.admitted)} requests: taken (grey), ended (green); each mark is a fault</text>',
        curve(list(run.admitted.values()), "#999999"),
        curve(list(ended.values()), "#1a7f37"),
        *marks,
        *named,
        *ticks,
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _mark(one: Struck, at: float, y: float) -> str:
    told = escape(f"{one.kind} {one.victim}".strip())
    line = f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{y}" stroke="#d1242f" stroke-opacity="0.15"/>'
    return f'{line}<circle cx="{at:.1f}" cy="{y}" r="3" fill="#d1242f"><title>{told}</title></circle>'
