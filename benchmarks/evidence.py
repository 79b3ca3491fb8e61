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
    claim = Claim(text=entry.text, passage=entry.passage.id)
    found = checks.verdict(0, claim, {entry.passage.id: entry.passage})
    return "" if found.verdict == "supported" else found.reason


def table(rows: dict[str, dict[bool, tuple[int, int]]]) -> str:
    """Shares of the claims that were refused, a row a kind."""
    lines = ["| kind | tuned on | held out |", "|---|--:|--:|"]
    for kind, halves in rows.items():
        told = [f"{n}/{of} = {n / of:.0%}" if of else "none" for n, of in (halves[False], halves[True])]
        lines.append(f"| {kind} | {told[0]} | {told[1]} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", default="", help="list what goes wrong with this kind in the half that was tuned on")
    parser.add_argument("--model", type=int, default=0, metavar="N", help="ask TORPOR_MODEL_URL about N claims as well")
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
    kinds = sorted({kind for kind, _ in every}, key=lambda kind: (kind not in TRUE, kind))
    print(
        f"{len(entries)} claims, {sum(entry.held_out for entry in entries)} of them held out; the share that code refuses:\n"
    )
    print(table({kind: {half: (caught[kind, half], every[kind, half]) for half in (False, True)} for kind in kinds}))
    if options.model:
        print(f"\n{asyncio.run(judged(entries, options.model))}")


async def judged(entries: list[Labelled], many: int) -> str:
    """What the model says of `many` claims, half of them true, and what is left when code is asked first."""
    client = from_environment(os.environ)
    true = [entry for entry in entries if entry.true]
    false = [entry for entry in entries if not entry.true]
    lines = ["| claims | refused by the model | by code or model |", "|---|--:|--:|"]
    for name, some in (("true", true), ("false", false)):
        chosen = sorted(some, key=lambda entry: sha256(entry.text.encode()).digest())[: many // 2]
        code = [bool(refused(entry)) for entry in chosen]
        said = [await doubted(client, number, entry) for number, entry in enumerate(chosen)]
        both = sum(map(any, zip(code, said, strict=True)))
        lines.append(f"| {len(chosen)} {name} | {sum(said) / len(chosen):.0%} | {both / len(chosen):.0%} |")
    return "\n".join([*lines, "", f"Asked: {client.model}."])


async def doubted(client: Client, number: int, entry: Labelled) -> bool:
    """Whether the model, asked as the validator asks it, refuses a claim."""
    deadline = datetime.now(UTC) + timedelta(minutes=5)
    model = client.for_step(
        key=f"{uuid4()}/bench/1.0", deadline=deadline, budget_tokens=10_000, time_limit_s=120, traceparent=None
    )
    claim = Claim(text=entry.text, passage=entry.passage.id)
    sound = Verdict(claim=number, verdict="supported", reason="not asked", by="code")
    return (await judging.judged(sound, claim, entry.passage, model)).verdict != "supported"


if __name__ == "__main__":
    main()
