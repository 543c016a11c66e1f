"""Draws docs/architecture.svg from the imports: ``python -m docs.draw_architecture`` (``make drawing``).

Places and words are below; the arrows are what the code imports. Arrows that follow from others are left out (the
transitive reduction), and so are the single files directly in ``components/``, which everybody reads.
"""

from __future__ import annotations

import dataclasses
import graphlib
import pathlib
from collections.abc import Iterable, Mapping
from typing import Final
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import grimp

DRAWING: Final = pathlib.Path(__file__).with_name("architecture.svg")
HOUSES: Final = ("schema", "components", "pipeline", "kubeflow", "serving", "demo")
DETECTOR: Final = "components.detector"
ARCHITECTURES: Final = f"{DETECTOR}.architectures"
CONTRACT: Final = f"{DETECTOR}.contract"
_PARTS: Final = tuple(f"{DETECTOR}.{room}" for room in ("backbones", "heads", "layers"))
"""What an architecture is made of: a file of the detector's face is one when it imports these."""


@dataclasses.dataclass(frozen=True)
class Box:
    """Where a room stands, and what it is.

    Attributes:
      x, y: its middle.
      subject: a few words.
      width: in the drawing's units.
      name: what is written on it; the last part of the package's name when empty.
    """

    x: int
    y: int
    subject: str
    width: int = 138
    name: str = ""


_HEIGHT: Final = 46
_WIDTH_ALL, _HEIGHT_ALL = 1080, 950
_PANELS: Final = {
    "components": (24, 188, 920, 660),
    "components/detector": (486, 524, 440, 308),
}
BOXES: Final[Mapping[str, Box]] = {
    "kubeflow": Box(330, 44, "the graph on a cluster"),
    "demo": Box(530, 44, "drawn street scenes"),
    "pipeline": Box(430, 134, "config, graph, verbs"),
    "serving": Box(1004, 352, "client and server", 120),
    "components.example_gen": Box(106, 252, "formats to records"),
    "components.report": Box(330, 252, "what a person reads"),
    "components.trainer": Box(760, 352, "input, state, strategies"),
    "components.validation": Box(270, 452, "what TFDV cannot say"),
    "components.evaluator": Box(420, 452, "measure, judge"),
    "components.serving_contract": Box(868, 252, "can servers use it"),
    "components.export": Box(850, 452, "what others run"),
    "components.device_evaluator": Box(530, 252, "beside the SavedModel"),
    "components.device_pusher": Box(106, 352, "blessed ones go out"),
    "components.exporter": Box(610, 352, "models for devices"),
    "components.transform": Box(345, 580, "boxes, classes", 116),
    ARCHITECTURES: Box(566, 580, "base, a file each", 124, "architectures"),
    f"{DETECTOR}.weights": Box(722, 580, "checkpoints in", 116),
    f"{DETECTOR}.heads": Box(566, 656, "features to boxes", 124),
    f"{DETECTOR}.backbones": Box(566, 732, "images to features", 124),
    f"{DETECTOR}.targets": Box(722, 732, "anchors, losses", 116),
    f"{DETECTOR}.layers": Box(566, 800, "fast Keras layers", 124),
    CONTRACT: Box(846, 800, "options, structures", 128, "contract"),
    "schema": Box(540, 900, "what a record is, and what an exported model is", 1032),
}
_LANES: Final = {
    ("components.example_gen", "schema"): 192,
    ("components.serving_contract", "schema"): 956,
    (f"{DETECTOR}.weights", "schema"): 646,
}
"""Where an arrow goes down that would else run through a box."""

Edges = frozenset[tuple[str, str]]


def architecture_edges() -> Edges:
    """Which room imports which, without what follows from the rest.

    Raises:
      KeyError: a room has no place in the drawing.
      graphlib.CycleError: rooms import each other in a circle.
    """
    graph = grimp.build_graph(*HOUSES, exclude_type_checking_imports=True, cache_dir=None)
    rooms = {module: room for module in graph.modules if (room := _room(graph, module)) is not None}
    if missing := set(rooms.values()) - BOXES.keys():
        raise KeyError(f"docs/draw_architecture.py: no place in BOXES for {', '.join(sorted(missing))}")
    imported: dict[str, set[str]] = {room: set() for room in BOXES}
    for module, room in rooms.items():
        imported[room] |= {rooms[other] for other in graph.find_modules_directly_imported_by(module) if other in rooms}
    return _reduced({room: others - {room} for room, others in imported.items()})


def _room(graph: grimp.ImportGraph, module: str) -> str | None:
    """The box that a module is drawn in; None for files that are drawn in none."""
    parts = module.split(".")
    if parts[0] != "components":
        return parts[0]
    package, room = ".".join(parts[:2]), ".".join(parts[:3])
    if package != DETECTOR:
        return package if len(parts) > 1 and graph.find_children(package) else None
    if graph.find_children(room):
        return room if len(parts) > 2 else None
    made_of = graph.find_upstream_modules(module)
    return ARCHITECTURES if any(part.startswith(_PARTS) for part in made_of) else CONTRACT


def _reduced(imported: Mapping[str, set[str]]) -> Edges:
    """The transitive reduction of an acyclic graph."""
    reached: dict[str, set[str]] = {}
    edges = set()
    for room in graphlib.TopologicalSorter(imported).static_order():
        direct = imported[room]
        reached[room] = direct.union(*(reached[other] for other in direct))
        edges |= {(room, other) for other in direct if not any(other in reached[third] for third in direct)}
    return frozenset(edges)


def drawn_edges(svg: str) -> Edges:
    """The arrows of a drawing that ``draw`` made."""
    paths = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}path")  # noqa: S314 - our own file
    return frozenset((path.attrib["data-from"], path.attrib["data-to"]) for path in paths if "data-from" in path.attrib)


def draw(edges: Edges) -> str:
    """The drawing as SVG; the same edges give the same bytes."""
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH_ALL} {_HEIGHT_ALL}" '
            'font-family="system-ui, Segoe UI, Roboto, Helvetica, Arial, sans-serif">',
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
            'orient="auto"><path d="M0 0.8 L7.5 4 L0 7.2 z" fill="#5f7489"/></marker></defs>',
            f'<rect width="{_WIDTH_ALL}" height="{_HEIGHT_ALL}" rx="10" fill="#ffffff"/>',
            *_panels(),
            *_arrows(edges),
            *_boxes(),
            "</svg>",
            "",
        ]
    )


def _panels() -> Iterable[str]:
    for (name, (x, y, width, height)), colour in zip(_PANELS.items(), ("#f4f6f8", "#e6edf5"), strict=True):
        yield f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="10" fill="{colour}"/>'
        yield f'<text x="{x + 14}" y="{y + 24}" font-size="13" font-weight="600" fill="#6b7c8d">{name}/</text>'


def _boxes() -> Iterable[str]:
    for room, box in BOXES.items():
        left, top, name = box.x - box.width / 2, box.y - _HEIGHT / 2, box.name or room.rpartition(".")[2]
        yield (
            f'<rect x="{left:g}" y="{top:g}" width="{box.width}" height="{_HEIGHT}" rx="7" fill="#ffffff" '
            'stroke="#3567b2" stroke-width="1.3"/>'
        )
        middle = f'x="{box.x}" text-anchor="middle"'
        yield f'<text {middle} y="{box.y - 3}" font-size="14" font-weight="600" fill="#1d2329">{escape(name)}</text>'
        yield f'<text {middle} y="{box.y + 14}" font-size="11" fill="#5f6b76">{escape(box.subject)}</text>'


def _arrows(edges: Edges) -> Iterable[str]:
    starts, ends = _ports(edges, 0), _ports(edges, 1)
    for edge in sorted(edges):
        importer, imported = edge
        x1, y1 = starts[edge], BOXES[importer].y + _HEIGHT / 2
        x2, y2 = ends[edge], BOXES[imported].y - _HEIGHT / 2
        lane = _LANES.get(edge)
        if lane is not None:
            line = f"M{x1:g} {y1:g} C{x1:g} {y1 + 34:g} {lane} {y1 + 6:g} {lane} {y1 + 46:g} L{lane} {y2:g}"
        elif imported == "schema":  # as wide as the drawing: straight down
            line = f"M{x1:g} {y1:g} L{x1:g} {y2:g}"
        else:
            bend = (y2 - y1) / 2
            line = f"M{x1:g} {y1:g} C{x1:g} {y1 + bend:g} {x2:g} {y2 - bend:g} {x2:g} {y2:g}"
        yield (
            f'<path data-from="{importer}" data-to="{imported}" d="{line}" fill="none" stroke="#5f7489" '
            'stroke-width="1.5" marker-end="url(#tip)"/>'
        )


def _ports(edges: Edges, end: int) -> dict[tuple[str, str], float]:
    """Where along a box its arrows start (``end`` 0) or end (1): side by side, in the order of where they go."""

    def goes_to(edge: tuple[str, str]) -> float:
        return _LANES.get(edge, BOXES[edge[1 - end]].x)

    ports: dict[tuple[str, str], float] = {}
    for room, box in BOXES.items():
        ours = sorted((edge for edge in sorted(edges) if edge[end] == room), key=goes_to)
        step = min(24.0, (box.width - 30) / max(len(ours), 1))
        ports |= {edge: box.x + step * (place - (len(ours) - 1) / 2) for place, edge in enumerate(ours)}
    return ports


def main() -> None:
    """Entry point."""
    DRAWING.write_text(draw(architecture_edges()), encoding="utf-8")
    print(f"wrote {DRAWING}")


if __name__ == "__main__":
    main()
