"""Where everything of a workflow's picture lies: one column of agents, events between them, by-ways beside them.

What goes to the next agent goes straight down; what passes agents over goes round on the right, what goes back on the left,
on tracks, packed so that no two that overlap share one. So nothing ever crosses a box, whatever the workflow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from eventing.apis.graph import END, OPENER, Edge, Graph, graph, per_part, told
from eventing.workflow import Workflow

PAD, BOX_WIDTH, BOX_HEIGHT, GAP, TRACK, PANEL = 16, 264, 56, 52, 164, 168
LETTER = 7.25  # width of a letter of an event's name
Point = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """An agent, or who stands at either end (`plain`)."""

    name: str
    told: str
    x: float
    y: float
    width: float
    height: float
    plain: bool = False
    many: bool = False

    @property
    def middle(self) -> Point:
        return self.x + self.width / 2, self.y + self.height / 2


@dataclass(frozen=True)
class Wire:
    """An event's way: the corners of its line, and where its name stands."""

    event: str
    corners: tuple[Point, ...]
    label: Point
    kind: str  # plain, back, done or failed
    many: bool = False


@dataclass
class Picture:
    width: float = 0
    height: float = 0
    boxes: list[Box] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    panel: Box | None = None


def picture(workflow: Workflow) -> Picture:
    """The laid-out picture of a workflow."""
    found = graph(workflow)
    rows = _rows(found)
    at = {name: number for number, name in enumerate(rows)}
    left = _tracks([e for e in found.edges if found.back(e)], at)
    right = _tracks([e for e in found.edges if at[e.taker] - at[e.giver] > 1], at)
    many_left, many_right = max(left.values(), default=-1) + 1, max(right.values(), default=-1) + 1
    x = PAD + TRACK * many_left
    made = Picture(boxes=_boxes(workflow, rows, x))
    box = {name: made.boxes[number] for name, number in at.items()}

    def kind(event: str) -> str:
        return "done" if event == workflow.ends[0] else "failed" if event in workflow.ends else "plain"

    made.wires += _straight(found, at, box, kind)
    made.wires += [_round(e, box, x - TRACK * (n + 0.5), -1, "back") for e, n in left.items()]
    made.wires += [_round(e, box, x + BOX_WIDTH + TRACK * (n + 0.5), 1, kind(e.event)) for e, n in right.items()]
    edge = x + BOX_WIDTH + TRACK * many_right
    made.height = made.boxes[-1].y + made.boxes[-1].height + PAD
    if workflow.tracker:
        edge += 0 if many_right else TRACK
        _add_panel(made, found, box, edge, kind)
        edge += PANEL
    made.width = edge + PAD
    return made


def _rows(found: Graph) -> list[str]:
    ends = [END] if any(edge.taker == END for edge in found.edges) else []
    return [OPENER, *found.agents, *ends]


def _tracks(edges: list[Edge], at: dict[str, int]) -> dict[Edge, int]:
    """A track for each edge, counted outwards, the short ones inside; two edges share one where they do not overlap."""
    found: dict[Edge, int] = {}
    ends: list[list[tuple[int, int]]] = []
    for edge in sorted(edges, key=lambda e: abs(at[e.taker] - at[e.giver])):
        low, high = sorted((at[edge.giver], at[edge.taker]))
        free = (n for n, taken in enumerate(ends) if all(high < a or b < low for a, b in taken))
        track = next(free, len(ends))
        if track == len(ends):
            ends.append([])
        ends[track].append((low, high))
        found[edge] = track
    return found


def _boxes(workflow: Workflow, rows: list[str], x: float) -> list[Box]:
    parts, y, found = per_part(workflow), float(PAD), []
    for name in rows:
        plain = name in (OPENER, END)
        height = 36 if plain else BOX_HEIGHT
        title = {OPENER: "a request", END: "done"}.get(name, name.replace("_", " "))
        about = "" if plain else told(workflow, name)
        inset = 60 if plain else 0
        found.append(Box(title, about, x + inset, y, BOX_WIDTH - 2 * inset, height, plain, name in parts))
        y += height + GAP
    return found


def _straight(found: Graph, at: dict[str, int], box: dict[str, Box], kind: Callable[[str], str]) -> list[Wire]:
    """Side by side between two neighbours, so that two events have room for their names."""
    wires = []
    for giver, upper in box.items():
        edges = [e for e in found.edges if e.giver == giver and at[e.taker] == at[giver] + 1]
        for number, edge in enumerate(edges):
            lower = box[edge.taker]
            x = upper.middle[0] + (number - (len(edges) - 1) / 2) * 150
            top, bottom = upper.y + upper.height, lower.y
            wires.append(Wire(edge.event, ((x, top), (x, bottom)), (x, (top + bottom) / 2 - 2), kind(edge.event), edge.many))
    return wires


def _round(edge: Edge, box: dict[str, Box], x: float, side: int, kind: str) -> Wire:
    """Out of one box, along a track beside the column, into another box."""
    giver, taker = box[edge.giver], box[edge.taker]
    out, into = giver.middle[1] + 9, taker.middle[1] - 9
    from_x, to_x = (b.x + (b.width if side > 0 else 0) for b in (giver, taker))
    return Wire(edge.event, ((from_x, out), (x, out), (x, into), (to_x, into)), (x, (out + into) / 2), kind)


def _add_panel(made: Picture, found: Graph, box: dict[str, Box], x: float, kind: Callable[[str], str]) -> None:
    """The tracker: beside all others, since it hears all of them."""
    first, last = made.boxes[0], made.boxes[-1]
    panel = Box("tracker", "", x, first.y, PANEL, last.y + last.height - first.y)
    made.panel = panel
    for edge in found.failures:
        taker = box[edge.taker]
        y = taker.middle[1] + 9
        made.wires.append(
            Wire(edge.event, ((x, y), (taker.x + taker.width, y)), ((x + taker.x + taker.width) / 2, y), kind(edge.event))
        )
