"""The graph of an ONNX file, drawn small: operators from top to bottom in the order in which values flow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from onnx import GraphProto

from ..onnx_file import read_onnx
from ..optimize.single_step import for_any_length

_HEAVY = ("RNN", "GRU", "LSTM", "Scan", "Loop", "If", "DynamicQuantizeLSTM")
_PRODUCTS = ("MatMul", "Gemm", "Conv", "MatMulInteger", "Einsum")

# A larger graph is no longer a small picture.
_MOST = 120
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y = 120, 24, 16, 18


@dataclass(frozen=True)
class Box:
    """An operator: its kind, its name, its place, and a class for the style sheet."""

    kind: str
    name: str
    x: int
    y: int
    style: str


@dataclass(frozen=True)
class Picture:
    """Boxes of `width` by `height` and the lines between them, on a canvas."""

    boxes: list[Box]
    lines: list[tuple[int, int, int, int]]
    canvas: tuple[int, int]
    width: int = _WIDTH
    height: int = _HEIGHT


def draw_graph(file: Path) -> Picture | None:
    """The picture of a file's graph; None where it has too many operators to be one."""
    graph = for_any_length(read_onnx(file, weights=False).graph)
    if len(graph.node) > _MOST:
        return None
    places = _places(graph)
    boxes = [
        Box(node.op_type, node.name, *_corner(places[k]), style=_style(node.op_type))
        for k, node in enumerate(graph.node)
    ]
    lines = [
        (boxes[a].x + _WIDTH // 2, boxes[a].y + _HEIGHT, boxes[b].x + _WIDTH // 2, boxes[b].y) for a, b in _edges(graph)
    ]
    canvas = (max(box.x for box in boxes) + _WIDTH, max(box.y for box in boxes) + _HEIGHT)
    return Picture(boxes, lines, canvas)


def _edges(graph: GraphProto) -> Iterator[tuple[int, int]]:
    makers = {name: k for k, node in enumerate(graph.node) for name in node.output if name}
    for k, node in enumerate(graph.node):
        yield from {(makers[name], k) for name in node.input if name in makers}


def _places(graph: GraphProto) -> dict[int, tuple[int, int]]:
    """Row and column of each operator: below everything that it reads."""
    flow = nx.DiGraph()
    flow.add_nodes_from(range(len(graph.node)))
    flow.add_edges_from(_edges(graph))
    rows = enumerate(nx.topological_generations(flow))
    return {k: (row, column) for row, generation in rows for column, k in enumerate(sorted(generation))}


def _corner(place: tuple[int, int]) -> tuple[int, int]:
    row, column = place
    return column * (_WIDTH + _GAP_X), row * (_HEIGHT + _GAP_Y)


def _style(kind: str) -> str:
    return "loop" if kind in _HEAVY else "product" if kind in _PRODUCTS else "plain"
