"""What awake functions print is passed on, and no more of it than anybody reads."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

from eventing.local import processes
from eventing.local.functions import Functions
from eventing.local.listening import Listener


def test_what_an_agent_prints_is_passed_on_until_it_is_too_much(tmp_path: Path) -> None:
    told: list[str] = []
    awake, blocking = SimpleNamespace(function=SimpleNamespace(name="drafter"), state="awake", in_flight=1), dict[str, str]()
    functions = cast(Functions, SimpleNamespace(all=lambda: [awake]))
    listener = Listener(functions, tmp_path, lambda name, line, _: told.append(f"{name}: {line}"), blocking)
    log = processes.log_of(tmp_path, "drafter")
    log.parent.mkdir(parents=True)
    log.write_text("before it was awake\n")

    def prints(text: str) -> list[str]:
        told.clear()
        with log.open("a") as out:
            out.write(text)
        listener.look()
        return told

    listener.look()
    assert prints("INFO:     1.2.3.4 - POST /\nI think\n") == ["drafter: I think"]
    assert prints("half a ") == [] and prints("line\n") == ["drafter: half a line"]
    for much in ("a line\n" * 101, "x" * 200_000 + "\n"):
        *some, last = prints(much)
        assert len(some) in (0, 100) and last == f"drafter: prints more than is passed on: all of it is in {log}"
        assert prints("and on\n") == ["drafter: and on"]

    assert blocking == {}
    said = "agent drafter blocks its process at functions/drafter/agent.py:7 (1.0 s so far): await what takes long"
    assert prints(f"{said}\nand on\n") == [f"drafter: {said}", "drafter: and on"] and blocking == {"drafter": said}
    awake.in_flight = 0
    assert prints("done\n") == ["drafter: done"] and blocking == {}
