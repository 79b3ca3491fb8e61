"""`python -m tests.chaos.simulate --seeds 2000` simulates many seeds, `--seed N` one, with its history."""

from __future__ import annotations

import argparse
import logging
import sys

from tests.chaos.simulation import Simulation


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.simulate")
    parser.add_argument("--seeds", type=int, default=200, help="how many seeds")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this seed alone; prints its history")
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if asked.seed is not None:
        found = Simulation(asked.seed).run()
        print("\n".join([*found.history, f"seed {asked.seed}: {len(found.violations)} violations", *found.violations]))
        return 1 if found.violations else 0
    failed = 0
    for seed in range(asked.first, asked.first + asked.seeds):
        found = Simulation(seed).run()
        if found.violations:
            failed += 1
            print(f"seed {seed}: {found.violations[0]}\n  replay: {replay(seed)}", flush=True)
        if (done := seed - asked.first + 1) % 50 == 0:
            print(f"{done} of {asked.seeds} seeds, {failed} failed", flush=True)
    print(f"{asked.seeds} seeds from {asked.first} on, {failed} failed")
    return 1 if failed else 0


def replay(seed: int) -> str:
    """The command that shows a seed's history."""
    return f"python -m tests.chaos.simulate --seed {seed}"


if __name__ == "__main__":
    sys.exit(main())
