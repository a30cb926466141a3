"""The picture of an ONNX graph: boxes in columns from left to right, which go on in a next band where one is full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from onnx import GraphProto, ValueInfoProto

from ..onnx_file import read_onnx
from ..optimize.one_step.single_step import for_any_length

_HEAVY = ("RNN", "GRU", "LSTM", "Scan", "Loop", "If", "DynamicQuantizeLSTM", "LinearAttention")
_PRODUCTS = ("MatMul", "Gemm", "Conv", "MatMulInteger", "Einsum", "CausalConvWithState")

# A larger graph is no longer a small picture.
_MOST = 120
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 122, 28, 22, 14
# Columns of a band, which is then as wide as the page's text.
_COLUMNS = 7
# Between bands, where lines lead from the end of one to the beginning of the next.
_BETWEEN = 34
# Characters that fit in a box as they are, and pressed together.
_FIT, _PRESSED = 15, 22


@dataclass(frozen=True)
class Box:
    """An input, an operator or an output: what it says, what it says on hover, its place, a class for the style."""

    label: str
    title: str
    x: int
    y: int
    style: str

    @property
    def pressed(self) -> bool:
        """Whether the label is to be pressed together to the width of a box."""
        return len(self.label) > _FIT


@dataclass(frozen=True)
class Picture:
    """Boxes of `width` by `height` and the lines between them as SVG paths, on a canvas."""

    boxes: list[Box]
    lines: list[str]
    canvas: tuple[int, int]
    width: int = _WIDTH
    height: int = _HEIGHT


@dataclass(frozen=True)
class _Node:
    """What a box stands for: an operator with what it reads and writes, or one of the graph's own values."""

    label: str
    title: str
    style: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """The band of a box and the y of that, the column in it, and the box's own y."""

    band: int
    top: int
    column: int
    y: int

    @property
    def x(self) -> int:
        return self.column * (_WIDTH + _GAP_X)


def draw_graph(file: Path) -> Picture | None:
    """The picture of a file's graph; None where it has too many operators to be one."""
    graph = for_any_length(read_onnx(file, weights=False).graph)
    if len(graph.node) > _MOST:
        return None
    nodes = [*_nodes(graph)]
    edges = sorted(set(_edges(nodes)))
    places = _places(nodes, edges)
    boxes = [
        Box(_fitting(node.label), node.title, places[k].x, places[k].y, node.style) for k, node in enumerate(nodes)
    ]
    canvas = (max(box.x for box in boxes) + _WIDTH, max(box.y for box in boxes) + _HEIGHT)
    return Picture(boxes, [_line(places[a], places[b]) for a, b in edges], canvas)


def _nodes(graph: GraphProto) -> Iterator[_Node]:
    constants = {each.name for each in graph.initializer}
    for value in graph.input:
        if value.name not in constants:
            yield _Node(value.name, f"input {_described(value)}", "input", (), (value.name,))
    for node in graph.node:
        # What a body reads from around it is read by the operator that has the body.
        inner = [attribute.g for attribute in node.attribute if attribute.HasField("g")]
        outer = [name for body in inner for each in body.node for name in each.input]
        title = f"{node.op_type} {node.name}".strip()
        yield _Node(node.op_type, title, _style(node.op_type), (*node.input, *outer), tuple(node.output))
    for value in graph.output:
        yield _Node(value.name, f"output {_described(value)}", "output", (value.name,), ())


def _described(value: ValueInfoProto) -> str:
    dims = value.type.tensor_type.shape.dim
    return f"{value.name} [{', '.join(dim.dim_param or str(dim.dim_value) for dim in dims)}]"


def _edges(nodes: list[_Node]) -> Iterator[tuple[int, int]]:
    makers = {name: k for k, node in enumerate(nodes) for name in node.writes if name}
    for k, node in enumerate(nodes):
        yield from ((makers[name], k) for name in node.reads if name in makers and makers[name] != k)


def _places(nodes: list[_Node], edges: list[tuple[int, int]]) -> dict[int, _Place]:
    """Right of everything that it reads; what reads nothing stands beside what reads it, and outputs at the end."""
    flow = nx.DiGraph()
    flow.add_nodes_from(range(len(nodes)))
    flow.add_edges_from(edges)
    depth: dict[int, int] = {}
    for k in nx.topological_sort(flow):
        depth[k] = max((depth[source] + 1 for source in flow.predecessors(k)), default=0)
    last = max(depth.values())
    for k in reversed([*nx.topological_sort(flow)]):
        readers = [depth[reader] for reader in flow.successors(k)]
        if nodes[k].style == "output":
            depth[k] = last
        elif readers and not flow.in_degree(k) and nodes[k].style != "input":
            depth[k] = min(readers) - 1
    return _in_bands(depth)


def _in_bands(depth: Mapping[int, int]) -> dict[int, _Place]:
    columns: dict[int, list[int]] = {}
    for k in sorted(depth):
        columns.setdefault(depth[k], []).append(k)
    places: dict[int, _Place] = {}
    top = 0
    for first in range(0, max(columns) + 1, _COLUMNS):
        band = [columns.get(each, []) for each in range(first, first + _COLUMNS)]
        rows = max(map(len, band))
        for column, members in enumerate(band):
            for row, k in enumerate(members):
                y = top + row * (_HEIGHT + _GAP_Y)
                places[k] = _Place(first // _COLUMNS, top, column, y)
        top += rows * (_HEIGHT + _GAP_Y) - _GAP_Y + _BETWEEN
    return places


def _line(start: _Place, end: _Place) -> str:
    """From the right of a box to the left of another, between the boxes that are on its way."""
    half = _GAP_X // 2
    x1, y1 = start.x + _WIDTH, start.y + _HEIGHT // 2
    x2, y2 = end.x, end.y + _HEIGHT // 2
    if (start.band, start.column + 1) == (end.band, end.column):
        return f"M{x1} {y1}C{x1 + half} {y1} {x2 - half} {y2} {x2} {y2}"
    between = end.top - _BETWEEN // 2 if start.band != end.band else start.y + _HEIGHT + _GAP_Y // 2
    return f"M{x1} {y1}H{x1 + half}V{between}H{x2 - half}V{y2}H{x2}"


def _fitting(label: str) -> str:
    return label if len(label) <= _PRESSED else f"{label[: _PRESSED - 1]}…"


def _style(kind: str) -> str:
    return "loop" if kind in _HEAVY else "product" if kind in _PRODUCTS else "plain"
