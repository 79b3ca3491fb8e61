"""The picture of a workflow as plain SVG: no script, no font to fetch, no style sheet."""

from __future__ import annotations

from html import escape

from eventing.apis.graph import per_part
from eventing.apis.layout import LETTER, Box, Picture, Point, Wire, picture
from eventing.workflow import Workflow

_SANS = "ui-sans-serif,-apple-system,'Segoe UI',Roboto,'Helvetica Neue',Arial,sans-serif"
_MONO = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
THEMES = {
    "light": {
        "box": "#ffffff", "edge": "#d0d7de", "title": "#1f2328", "text": "#59636e", "line": "#8c959f", "panel": "#f6f8fa",
        "agent": "#8250df", "plain": "#ddf4ff/#0550ae", "back": "#fff1e5/#953800", "done": "#dafbe1/#116329",
        "failed": "#ffebe9/#a40e26",
    },
    "dark": {
        "box": "#161b22", "edge": "#3d444d", "title": "#f0f6fc", "text": "#9198a1", "line": "#656c76", "panel": "#10151c",
        "agent": "#a371f7", "plain": "#12233b/#79c0ff", "back": "#33210d/#ffa657", "done": "#12281a/#56d364",
        "failed": "#341518/#ff7b72",
    },
}  # fmt: skip
_MOON = "M0 -6A6 6 0 1 0 6 0A4.9 4.9 0 0 1 0 -6Z"


def text(workflow: Workflow, theme: str) -> str:
    """The picture in one theme."""
    made, ink = picture(workflow), THEMES[theme]
    size = f'width="{made.width:g}" height="{made.height:g}" viewBox="0 0 {made.width:g} {made.height:g}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-labelledby="title told" font-family="{_SANS}">',
        f'<title id="title">The workflow {escape(workflow.name)}</title>',
        f'<desc id="told">{escape(described(made))}</desc>',
        _heads(ink),
        *([_panel(made.panel, workflow, ink)] if made.panel else []),
        *(_line(wire, ink) for wire in made.wires),
        *(_box(box, ink) for box in made.boxes),
        *(_label(wire, ink) for wire in made.wires),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def described(made: Picture) -> str:
    """The picture in words, for who cannot see it."""
    agents = "; ".join(f"{box.name}: {box.told}" for box in made.boxes if not box.plain)
    return f"Agents, in order: {agents}. Events between them: {', '.join(dict.fromkeys(w.event for w in made.wires))}."


def _ink(kind: str, ink: dict[str, str]) -> tuple[str, str]:
    fill, _, colour = ink[kind].partition("/")
    return fill, colour


def _heads(ink: dict[str, str]) -> str:
    kinds = {"plain": ink["line"], **{kind: _ink(kind, ink)[1] for kind in ("back", "done", "failed")}}
    heads = "".join(
        f'<marker id="head-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
        f'<path d="M0 .8 7 4 0 7.2z" fill="{colour}"/></marker>'
        for kind, colour in kinds.items()
    )
    return f"<defs>{heads}</defs>"


def _line(wire: Wire, ink: dict[str, str]) -> str:
    colour = ink["line"] if wire.kind == "plain" else _ink(wire.kind, ink)[1]
    dash = ' stroke-dasharray="5 4"' if wire.kind in ("back", "failed") else ""
    beside = (-7, 0, 7) if wire.many else (0,)
    return "".join(
        f'<path d="{_path([(x + shift, y) for x, y in wire.corners])}" fill="none" stroke="{colour}" '
        f'stroke-width="1.5"{dash} marker-end="url(#head-{wire.kind})"/>'
        for shift in beside
    )


def _path(corners: list[Point]) -> str:
    """A line through the corners, each of them rounded."""
    (x, y), radius = corners[0], 10.0
    found = f"M{x:g} {y:g}"
    for (x0, y0), (x1, y1), (x2, y2) in zip(corners, corners[1:], corners[2:], strict=False):
        before, after = _towards((x1, y1), (x0, y0), radius), _towards((x1, y1), (x2, y2), radius)
        found += f" L{before[0]:g} {before[1]:g} Q{x1:g} {y1:g} {after[0]:g} {after[1]:g}"
    x, y = corners[-1]
    return found + f" L{x:g} {y:g}"


def _towards(start: Point, end: Point, distance: float) -> Point:
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = max(abs(dx), abs(dy), 1.0)
    step = min(distance, length / 2) / length
    return start[0] + dx * step, start[1] + dy * step


def _box(box: Box, ink: dict[str, str]) -> str:
    x, y = box.middle
    if box.plain:
        return _rect(box.x, box.y, box.width, box.height, box.height / 2, ink) + _text(x, y + 5, box.name, 14, ink["text"])
    cards = [_rect(box.x + n, box.y + n, box.width, box.height, 10, ink) for n in (8, 4)] if box.many else []
    moon = _moon(box.x + box.width - 20, box.y + 20, ink)
    return "".join(
        [
            *cards,
            _rect(box.x, box.y, box.width, box.height, 10, ink),
            moon,
            _text(x, y - 3, box.name, 15, ink["title"], ' font-weight="600"'),
            _text(x, y + 16, box.told, 12, ink["text"]),
        ]
    )


def _moon(x: float, y: float, ink: dict[str, str]) -> str:
    return f'<path d="{_MOON}" transform="translate({x:g} {y:g})" fill="{ink["agent"]}"/>'


def _rect(x: float, y: float, width: float, height: float, radius: float, ink: dict[str, str], fill: str = "box") -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="{radius:g}" '
        f'fill="{ink[fill]}" stroke="{ink["edge"]}"/>'
    )


def _text(x: float, y: float, said: str, size: int, colour: str, more: str = ' text-anchor="middle"') -> str:
    anchor = "" if "text-anchor" in more else ' text-anchor="middle"'
    return f'<text x="{x:g}" y="{y:g}" font-size="{size}" fill="{colour}"{anchor}{more}>{escape(said)}</text>'


def _label(wire: Wire, ink: dict[str, str]) -> str:
    fill, colour = _ink(wire.kind, ink)
    (x, y), width = wire.label, len(wire.event) * LETTER + 20
    return (
        f'<rect x="{x - width / 2:g}" y="{y - 12:g}" width="{width:g}" height="24" rx="12" fill="{fill}"/>'
        f'<text x="{x:g}" y="{y + 4:g}" font-size="12" font-family="{_MONO}" fill="{colour}" text-anchor="middle">'
        f"{escape(wire.event)}</text>"
    )


def _panel(panel: Box, workflow: Workflow, ink: dict[str, str]) -> str:
    """The tracker, and what the signs mean."""
    x, y, start = panel.x + 20, panel.y, ' text-anchor="start"'
    parts = [
        _rect(panel.x, y, panel.width, panel.height, 12, ink, "panel"),
        _text(x, y + 34, panel.name, 15, ink["title"], ' font-weight="600"' + start),
        _moon(panel.x + panel.width - 20, y + 28, ink),
    ]
    does = ["hears every event", "and every dead letter,", "keeps workflow_state,", "ends what is overdue"]
    parts += [_text(x, y + 58 + n * 19, line, 12, ink["text"], start) for n, line in enumerate(does)]
    y += 150
    parts.append(f'<path d="M{x:g} {y:g}h{panel.width - 40:g}" stroke="{ink["edge"]}"/>')
    parts.append(_moon(x + 8, y + 27, ink))
    parts += [
        _text(x + 26, y + 31 + n * 17, line, 12, ink["text"], start)
        for n, line in enumerate(("sleeps until an", "event wakes it"))
    ]
    if per_part(workflow):
        parts += [_rect(x + n, y + 72 + n, 14, 11, 3, ink) for n in (4, 2, 0)]
        parts += [_text(x + 26, y + 82, "one for each part", 12, ink["text"], start)]
    return "".join(parts)
