"""Citation recall and precision of whole reports, as ALCE defines them, from their records.

    python -m benchmarks.citations RECORD...        # files of /report/ID.evidence.json

Recall: the share of statements that what they cite supports. Precision: the share of citations that support their statement
and are needed for it; with one citation a statement both ask the same. The judge of support is the validator itself (its
rules applied again, and the verdict that its model gave), so of a finished report both are high by construction; the drafts'
row counts what was left out as well, and so tells what the writer would have cited without a check.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from functions.validator import checks
from schemas import Claim, Passage


def judged(part: dict[str, Any]) -> list[tuple[bool, bool]]:
    """Of each statement of a part: whether it cites anything, and whether that supports it."""
    passages = {told["id"]: Passage.model_validate_json(json.dumps(told)) for told in part["passages"]}
    verdicts = {verdict["claim"]: verdict["verdict"] for verdict in part["verdicts"]}
    found = []
    for number, told in enumerate(part["claims"]):
        claim = Claim.model_validate_json(json.dumps(told))
        sound = checks.verdict(number, claim, passages).verdict == "supported"
        found.append((claim.passage in passages, sound and verdicts.get(number) == "supported"))
    return found


def rates(statements: list[tuple[bool, bool]]) -> tuple[str, str]:
    """Recall and precision."""
    supported, cited = sum(sound for _, sound in statements), sum(cites for cites, _ in statements)
    return _share(supported, len(statements)), _share(sum(cites and sound for cites, sound in statements), cited)


def _share(part: int, whole: int) -> str:
    return f"{part}/{whole} = {part / whole:.0%}" if whole else "none"


def main() -> None:
    print("| report | statements | quoted | recall | precision | recall of drafts |\n|---|--:|--:|--:|--:|--:|")
    for name in sys.argv[1:]:
        result = json.loads(Path(name).read_bytes())["result"]
        statements = [entry for part in result["parts"] for entry in judged(part)]
        quoted = sum(claim["quoted"] for part in result["parts"] for claim in part["claims"])
        gone = [(True, False) for part in result["parts"] for _ in part["left_out"]]
        recall, precision = rates(statements)
        print(
            f"| {result['topic']} | {len(statements)} | {quoted} | {recall} | {precision} | {rates(statements + gone)[0]} |"
        )


if __name__ == "__main__":
    main()
