"""`python -m benchmarks.evidence`: which false claims the validator's checks catch, and which true ones they refuse."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from uuid import uuid4

from benchmarks.labelled.claims import TRUE, Labelled, labelled
from functions.validator import checks, judging
from inference.client import Client, from_environment
from schemas import Claim, Verdict


def refused(entry: Labelled) -> str:
    """Why code refuses a claim; empty where it does not."""
    found = _verdict(entry)
    return "" if found.verdict == "supported" else found.reason


def faults(entry: Labelled) -> list[str]:
    """The checks by which code refuses a claim."""
    return [check.name for check in _verdict(entry).checks if not check.passed]


def _verdict(entry: Labelled) -> Verdict:
    claim = Claim(text=entry.text, passage=entry.passage.id)
    return checks.verdict(0, claim, {entry.passage.id: entry.passage})


def table(rows: dict[str, dict[bool, tuple[int, int]]]) -> str:
    """Shares of the claims, a row a kind."""
    lines = ["| kind | tuned on | held out |", "|---|--:|--:|"]
    for kind, halves in rows.items():
        told = [f"{n}/{of} = {n / of:.0%}" if of else "none" for n, of in (halves[False], halves[True])]
        lines.append(f"| {kind} | {told[0]} | {told[1]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", default="", help="list what goes wrong with this kind in the half that was tuned on")
    parser.add_argument("--model", type=int, default=0, metavar="N", help="ask TORPOR_MODEL_URL about N of a kind and half")
    parser.add_argument(
        "--alone", default="", metavar="CHECK", help="tell of how many that are refused it is the only fault"
    )
    parser.add_argument("--tuning", action="store_true", help="keep the held-out half out of sight")
    options = parser.parse_args()
    entries = [entry for entry in labelled() if not (options.tuning and entry.held_out)]
    caught: Counter[tuple[str, bool]] = Counter()
    every: Counter[tuple[str, bool]] = Counter()
    for entry in entries:
        why = refused(entry)
        every[entry.kind, entry.held_out] += 1
        caught[entry.kind, entry.held_out] += bool(why)
        if entry.kind == options.show and not entry.held_out and bool(why) == entry.true:
            print(f"- {entry.text}\n    {entry.passage.text[:400]}\n    {why}")
    held_out = sum(entry.held_out for entry in entries)
    print(f"{len(entries)} claims, {held_out} of them held out; the share that code refuses:\n")
    print(
        table({kind: {half: (caught[kind, half], every[kind, half]) for half in (False, True)} for kind in _kinds(entries)})
    )
    if options.alone:
        print(f"\nOf those that are refused, `{options.alone}` is the only fault of:\n")
        print(table(_alone(entries, options.alone)))
    if options.model:
        asyncio.run(judge(entries, options.model))


def _alone(entries: list[Labelled], check: str) -> dict[str, dict[bool, tuple[int, int]]]:
    """How many refused claims of each kind and half have one check's fault and no other, of how many."""
    found = {
        (kind, half): [names for e in entries if (e.kind, e.held_out) == (kind, half) and (names := faults(e))]
        for kind in _kinds(entries)
        for half in (False, True)
    }
    return {
        kind: {half: (found[kind, half].count([check]), len(found[kind, half])) for half in (False, True)}
        for kind in _kinds(entries)
    }


def _kinds(entries: list[Labelled]) -> list[str]:
    return sorted({entry.kind for entry in entries}, key=lambda kind: (kind not in TRUE, kind))


async def judge(entries: list[Labelled], many: int) -> None:
    """Tell what the model refuses of `many` claims of each kind and half, alone and with code; a row once it is known."""
    client = from_environment(os.environ)
    print(f"\nAt most {many} claims of each kind and half, asked of {await client.served(60)}:\n")
    print("| kind | code | the model alone | code or the model | held out: code | the model alone | code or the model |")
    print("|---|--:|--:|--:|--:|--:|--:|")
    for kind in _kinds(entries):
        cells = [cell for half in (False, True) for cell in await _cells(client, entries, kind, half, many)]
        print(f"| {kind} | {' | '.join(cells)} |", flush=True)


async def _cells(client: Client, entries: list[Labelled], kind: str, half: bool, many: int) -> list[str]:
    some = [entry for entry in entries if entry.kind == kind and entry.held_out == half]
    chosen = sorted(some, key=lambda entry: sha256(entry.text.encode()).digest())[:many]
    if not chosen:
        return ["none"] * 3
    code = [bool(refused(entry)) for entry in chosen]
    verdicts = [await verdict(client, number, entry) for number, entry in enumerate(chosen)]
    said = [found.verdict != "supported" for found in verdicts]
    contradicted = sum(found.verdict == "contradicted" for found in verdicts)
    alone, both = sum(said), sum(map(any, zip(code, said, strict=True)))
    many = len(chosen)
    return [f"{sum(code)}/{many}", f"{alone}/{many}, {contradicted} contradicted", f"{both}/{many}"]


async def verdict(client: Client, number: int, entry: Labelled) -> Verdict:
    """The model's verdict on a claim, asked as the validator asks it."""
    deadline = datetime.now(UTC) + timedelta(minutes=5)
    model = client.for_step(
        key=f"{uuid4()}/bench/1.0", deadline=deadline, budget_tokens=10_000, time_limit_s=120, traceparent=None
    )
    claim = Claim(text=entry.text, passage=entry.passage.id)
    sound = Verdict(claim=number, verdict="supported", reason="not asked", by="code")
    return await judging.judged(sound, claim, entry.passage, model)


if __name__ == "__main__":
    main()
