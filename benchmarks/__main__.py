"""`python -m benchmarks [--quick] [--disk] [--json FILE] [--note WORDS]`: measure, print the table, write the figures."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform as machine
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import bare, chain, running, split

WARM = 10  # chains before those that count


def percentiles(seconds: list[float]) -> dict[str, float]:
    """p50 and p99 in milliseconds."""
    ordered = sorted(seconds)
    return {"p50": round(median(ordered) * 1000, 2), "p99": round(ordered[int(len(ordered) * 0.99)] * 1000, 2)}


def hops(
    bench: running.Bench, body: bytes, count: int, beside: Callable[[], None] = lambda: None
) -> tuple[list[float], list[float]]:
    """Seconds of each hop (event in its topic -> next event in its topic) and of each whole chain, one chain at a time.

    `beside` is called before each.
    """
    driver = running.Driver(bench.config.bootstrap, chain.TOPICS)
    each: list[float] = []
    whole: list[float] = []
    for number in range(WARM + count):
        beside()
        seen = driver.one(body)
        if number >= WARM:
            moments = [at for _, _, at in seen[1:]]
            each += [later - earlier for earlier, later in itertools.pairwise(moments)]
            whole.append(seen[-1][2] - seen[0][2])
    driver.close()
    return each, whole


def compared(bench: running.Bench, count: int) -> dict[str, dict[str, float]]:
    """Hops and the two bare parts, in turns: in a loop of its own a part finds in the caches all that it needs.

    Each part's figures of such a loop, "alone", are taken at the end.
    """
    payload = running.payload()
    trip = bare.RoundTrip(bench.config.bootstrap, payload)
    with bare.call(payload) as call:
        trips: list[float] = []
        calls: list[float] = []

        def beside() -> None:
            trips.append(trip.once())
            calls.append(call())

        each, whole = hops(bench, payload, count, beside)
        alone = [trip.once() for _ in range(5 * count)], [call() for _ in range(5 * count)]
    trip.close()
    taken = {"bare kafka": trips[WARM:], "bare call": calls[WARM:], "hop": each, "chain": whole}
    taken |= {"bare kafka alone": alone[0], "bare call alone": alone[1]}
    return {what: percentiles(seconds) for what, seconds in taken.items()}


def throughput(bench: running.Bench, count: int, at_once: int = 64) -> dict[str, Any]:
    driver = running.Driver(bench.config.bootstrap, chain.TOPICS[-1:])
    driver.many(running.payload(), min(count, 200), at_once)  # warm
    before = bench.cpu() | {"driver": time.process_time()}
    seconds, each = driver.many(running.payload(), count, at_once)
    after = bench.cpu() | {"driver": time.process_time()}
    driver.close()
    spent = {what: round((after[what] - before[what]) / count * 1000, 2) for what in after}
    return {"chains/s": round(count / seconds, 1), **percentiles(each), "cpu ms a chain": spent}


def wakes(bench: running.Bench, count: int) -> list[float]:
    """Seconds of a hop whose agent sleeps."""
    driver = running.Driver(bench.config.bootstrap, chain.TOPICS)
    found: list[float] = []
    for _ in range(count):
        bench.asleep()
        seen = driver.one(running.payload())
        found.append((seen[-1][2] - seen[1][2]) / chain.LINKS)
    driver.close()
    return found


def stages(config: running.Config, count: int) -> dict[str, float]:
    """Where the time of a hop goes."""
    notes = config.state / "notes"
    notes.mkdir(exist_ok=True)
    seen: dict[str, float] = {}
    with running.platform(config, 3600.0, notes) as bench:
        driver = running.Driver(bench.config.bootstrap, chain.TOPICS)
        for number in range(WARM + count):
            found = driver.one(running.payload())
            if number >= WARM:
                seen |= {event: at for _, event, at in found[1:]}
        driver.close()
    return split.table(notes, seen)


def cold(count: int) -> dict[str, Any]:
    ours: list[float] = []
    theirs: list[float] = []
    with bare.ingress() as ingress, tempfile.TemporaryDirectory() as folder:
        workflow = Path(folder) / chain.WORKFLOW
        workflow.write_text(chain.workflow())
        for number in range(count + 1):
            pair = bare.cold_bare(running.payload()), bare.cold_agent(running.payload(), ingress, workflow)
            if number:  # the first reads from the disk, and leaves bytecode behind
                theirs.append(pair[0])
                ours.append(pair[1])
    return {
        "bare": percentiles(theirs),
        "agent": percentiles(ours),
        "more": round((median(ours) - median(theirs)) * 1000, 1),
    }


def measured(quick: bool, place: str | None) -> dict[str, Any]:
    scale = 4 if quick else 1
    found: dict[str, Any] = {
        "file on disk": percentiles(asyncio.run(running.files(200 // scale))),
        "cold": cold(12 // scale),
    }
    with running.kafka(place) as config:
        with running.platform(config, 3600.0) as bench:
            found["memory idle"] = bench.memory()
            found |= compared(bench, 200 // scale)
            found["chain with a model call a step"] = percentiles(hops(bench, running.payload("ask "), 100 // scale)[1])
            found["throughput"] = throughput(bench, 2000 // scale)
            found["memory at work"] = bench.memory()
        with running.platform(config, 1.0) as bench:
            found["hop cold"] = percentiles(wakes(bench, 8 // scale))
        found["split"] = stages(config, 100 // scale)
    return found


def table(found: dict[str, Any]) -> str:
    """The figures as Markdown."""
    call, kafka, hop, cold = found["bare call"], found["bare kafka"], found["hop"], found["cold"]
    both, work = call["p50"] + kafka["p50"], found["throughput"]
    rows = [
        ("bare Kafka round trip, 1 KB, in turns with hops", _ms(kafka)),
        ("bare functions-framework call, 1 KB, in turns with hops", _ms(call)),
        ("the same two alone, each in a loop", f"{_ms(found['bare kafka alone'])}, {_ms(found['bare call alone'])}"),
        ("a file of 1 KB in the store, on this disk", _ms(found["file on disk"])),
        ("**hop**, event in its topic to next event in its topic", f"**{_ms(hop)}**"),
        ("hop against the sum of the two bare figures", f"{hop['p50'] / both:.2f} x"),
        ("chain of four agents", _ms(found["chain"])),
        ("the same, each agent asking a stub model", _ms(found["chain with a model call a step"])),
        ("**chains a second**, 64 at once", f"**{work['chains/s']}**"),
        ("a chain's time meanwhile", _ms(work)),
        ("processor time a chain: " + ", ".join(work["cpu ms a chain"]), _cpu(work["cpu ms a chain"])),
        ("bare function: process start to first answer", _ms(cold["bare"])),
        ("**agent: process start to first event done**", f"**{_ms(cold['agent'])}**"),
        ("an agent's start above a bare one", f"{cold['more']} ms"),
        ("hop whose agent sleeps", _ms(found["hop cold"])),
        ("memory idle: " + ", ".join(found["memory idle"]), _memory(found["memory idle"])),
        ("memory at work: " + ", ".join(found["memory at work"]), _memory(found["memory at work"])),
    ]
    lines = ["| what | p50 / p99 |", "|---|---|", *(f"| {what} | {figure} |" for what, figure in rows)]
    if found["split"]:
        lines += ["", "| where the time of a hop goes | ms (median) |", "|---|---|"]
        lines += [f"| {stage} | {ms} |" for stage, ms in found["split"].items()]
    return "\n".join(lines)


def _ms(found: dict[str, float]) -> str:
    return "{p50} / {p99} ms".format(**found)


def _memory(found: dict[str, float]) -> str:
    return " + ".join(f"{mb:.0f}" for mb in found.values()) + f" = {sum(found.values()):.0f} MB"


def _cpu(found: dict[str, float]) -> str:
    return " + ".join(f"{ms:.1f}" for ms in found.values()) + f" = {sum(found.values()):.1f} ms"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the runs")
    parser.add_argument("--disk", action="store_true", help="topics and store where temporary files are, not in memory")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"))
    parser.add_argument("--note", default="", help="what to remember of this run")
    given = parser.parse_args()
    begun = time.monotonic()
    place = None if given.disk else running.in_memory()
    found = measured(given.quick, place)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    about = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"), "note": given.note, "cores": os.cpu_count(), "load": load,
        "system": machine.platform(), "python": machine.python_version(), "state": "in memory" if place else "on disk",
        "took_s": round(time.monotonic() - begun),
    }  # fmt: skip
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps({"about": about, **found}, indent=2) + "\n")
    print(f"{about['cores']} cores, {about['system']}, Python {about['python']}, load {load:.1f}; {about['note']}")
    print(f"topics and store {about['state']}\n")
    print(table(found))
    print(f"\nwritten to {given.json}")


if __name__ == "__main__":
    main()
