"""What awake functions print is passed on, and no more of it than anybody reads."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

from eventing.local import processes
from eventing.local.functions import Functions
from eventing.local.listening import Listener


def test_a_log_that_grows_without_end_is_begun_anew_and_followed_further(tmp_path: Path) -> None:
    told: list[str] = []
    awake = SimpleNamespace(function=SimpleNamespace(name="drafter"), state="awake", in_flight=1)
    functions = cast(Functions, SimpleNamespace(all=lambda: [awake]))
    listener = Listener(functions, tmp_path, lambda _, line, __: told.append(line), {})
    log = processes.log_of(tmp_path, "drafter")
    log.parent.mkdir(parents=True)
    with log.open("ab", buffering=0) as out:  # as its process does
        for much in (b"x" * 79 + b"\n", b"y" * 79 + b"\n"):
            out.write(much * 250_000)
            told.clear()
            listener.look()
            (last,) = (line for line in told if "begins anew" in line)
            former = Path(last.split(" is in ")[1])
            assert former.read_bytes() == much * 250_000 and log.stat().st_size == 0
            out.write(b"and on\n")
            listener.look()
            assert told[-1] == "and on" and log.read_bytes() == b"and on\n"
            os.truncate(log, 0)
            listener.look()
    assert {path.name for path in log.parent.iterdir()} == {"drafter.log", "drafter.former.log"}


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
