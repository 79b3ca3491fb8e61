"""The live picture of a request: every agent of the workflow, asleep, awake or at work, what its model says, the cost."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from eventing.harmless import plain
from eventing.workflow import Workflow

MOST_LINES = 5  # of what is being said at once


@dataclass
class _Agent:
    steps: int = 0
    seconds: float = 0.0
    tokens: int = 0
    wakes: int = 0
    doing: dict[str, str] = field(default_factory=dict)  # event id -> what is done with it
    processes: int | None = None  # None: the platform does not say


@dataclass
class _Saying:
    """A model call's text while it comes; as much of its end is shown as one line takes."""

    who: str
    step: tuple[object, object]  # agent and part
    text: str = ""

    def go_on(self, at: int, text: str) -> None:
        self.text = self.text[:at] + text

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> RenderResult:
        room = max(10, options.max_width - cell_len(self.who) - 5)
        said = plain(self.text[-4 * room :])
        tail = said[-room:]
        while cell_len(tail) > room:
            tail = tail[1:]
        yield Text(f"  {self.who}  {'…' if len(tail) < len(said) else ''}{tail}", "dim", no_wrap=True, overflow="ellipsis")


class Picture:
    """Folds a request's events, and what the platform says of its processes, into something to look at."""

    def __init__(self, workflow: Workflow, clock: Callable[[], float] = time.monotonic) -> None:
        self._workflow = workflow
        self._clock, self._began = clock, clock()
        names = dict.fromkeys(step.agent for step in workflow.steps)
        self.agents: dict[str, _Agent] = {name: _Agent() for name in names}
        self._spinner = Spinner("dots", style="cyan")
        self._saying: dict[str, _Saying] = {}

    def see(self, event: dict[str, Any]) -> None:
        """Take one event of the request in: who is done by it, and who has work by it."""
        place = event["source"].split("/")
        if len(place) == 4 and place[1] == "agents" and (agent := self.agents.get(place[2])):
            agent.doing.pop(event.get("cause", ""), None)
            if "durationms" in event:
                agent.steps += 1
                agent.seconds += int(event["durationms"]) / 1000
                agent.tokens += int(event.get("tokens", 0))
                agent.wakes += event.get("coldstart") == "true"
                self._silent(place[2], event.get("part"))
            if self._joins(event["type"]):
                self._parts_joined(event["type"])
        for step in self._workflow.steps:
            if event["type"] in step.takes and "knativeerrorcode" not in event:
                self.agents[step.agent].doing[event["id"]] = f"part {event['part']}" if "part" in event else step.name

    def hear(self, piece: dict[str, Any]) -> None:
        """Take in what a model goes on to say."""
        if piece["done"]:
            self._saying.pop(piece["call"], None)
            return
        part = f" {piece['part']}" if piece.get("part") else ""
        who = f"{piece.get('agent') or 'a model'}{part}".replace("_", " ")
        saying = self._saying.setdefault(piece["call"], _Saying(plain(who), (piece.get("agent"), piece.get("part"))))
        saying.go_on(int(piece["at"]), piece["text"])

    def _silent(self, agent: str, part: str | None) -> None:
        """A step is done: whatever call of it was left in mid-sentence goes on no more."""
        for call, saying in list(self._saying.items()):
            if saying.step in ((agent, int(part) if part else None), (agent, None)):
                del self._saying[call]

    def _joins(self, kind: str) -> bool:
        return any(step.join and kind in step.answers for step in self._workflow.steps)

    def _parts_joined(self, kind: str) -> None:
        """A join is caused by the part that came last; the others are done with it."""
        for step in self._workflow.steps:
            if step.join and kind in step.answers:
                self.agents[step.agent].doing.clear()

    def processes(self, functions: dict[str, dict[str, Any]]) -> None:
        """Take in what `torpor ps` says."""
        for name, agent in self.agents.items():
            one = functions.get(name.replace("_", "-"))
            agent.processes = one["instances"] if one else None

    def __rich__(self) -> RenderableType:
        table = Table(box=None, pad_edge=False, show_header=True, header_style="dim", padding=(0, 2, 0, 0))
        for title in ("", "agent", ""):
            table.add_column(title)
        for title in ("steps", "busy", "tokens"):
            table.add_column(title, justify="right")
        for name, agent in self.agents.items():
            table.add_row(*self._row(name, agent))
        spent = sum(agent.tokens for agent in self.agents.values())
        foot = Text(f"{self._clock() - self._began:5.1f} s   {spent} tokens", style="dim")
        return Group(Text(""), table, *list(self._saying.values())[-MOST_LINES:], foot)

    def _row(self, name: str, agent: _Agent) -> tuple[RenderableType, ...]:
        asleep = agent.processes == 0
        mark: RenderableType = Text("·" if asleep else "●", style="dim" if asleep else "green")
        told = Text("asleep" if asleep else "awake", style="dim")
        if agent.doing:
            mark = self._spinner
            waking = " (waking)" if asleep else ""
            told = Text(", ".join(sorted(set(agent.doing.values()))) + waking, style="cyan")
        elif agent.processes is None:
            mark, told = Text(" "), Text("")
        done = (str(agent.steps), f"{agent.seconds:.1f} s", str(agent.tokens)) if agent.steps else ("", "", "")
        return (mark, Text(name.replace("_", " "), style="" if agent.steps or agent.doing else "dim"), told, *done)
