"""The pictures of a report as SVG, in the page's colour of text: error plots, and the graph of an ONNX file."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnavailableError
from .measure import Course, Grid, Ulps

if TYPE_CHECKING:
    from matplotlib.figure import Figure
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import networkx as nx
from onnx import GraphProto

from ..onnx_file import read_onnx
from ..optimize.single_step import for_any_length

# Text and axes are drawn in this, which the page then calls the colour of text.
INK = "#010203"
RUNTIME, EAGER, WRONG = "#e4572e", "#4d96d9", "#cf222e"
_BINS = (0, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256)


def draw_grid(grid: Grid) -> str:
    """The largest error over its limit at each pair of sizes; 1 is the limit."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(5.5, 0.8 + 0.4 * len(grid.rows)))
    colours = pyplot.get_cmap("viridis").with_extremes(over=WRONG)
    axes.pcolormesh(np.ma.masked_where(np.isnan(grid.shares), grid.shares), cmap=colours, vmin=0, vmax=1)
    for row, column in np.ndindex(*grid.shares.shape):
        share = grid.shares[row, column]
        text = "refused" if np.isnan(share) else f"{share:.0%}" if share < 10 else "FAIL"
        colour = INK if np.isnan(share) else "black" if 0.7 <= share <= 1 else "white"
        axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", color=colour)
    axes.set_xticks(np.arange(len(grid.columns)) + 0.5, [str(size) for size in grid.columns])
    axes.set_yticks(np.arange(len(grid.rows)) + 0.5, [str(size) for size in grid.rows])
    axes.set_ylim(len(grid.rows), 0)
    axes.set_ylabel(grid.row)
    axes.set_xlabel(grid.column)
    axes.tick_params(length=0)
    return _svg(figure)


def draw_course(course: Course) -> str:
    """Errors at each time step, of the runtime and of PyTorch."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(5.5, 2.6))
    steps = np.arange(len(course.runtime))
    for errors, name, colour in ((course.eager, "PyTorch", EAGER), (course.runtime, "the file", RUNTIME)):
        axes.plot(steps, np.where(errors > 0, errors, np.nan), color=colour, linewidth=1, label=name)
    axes.set_yscale("log")
    axes.set_xlabel("time step")
    axes.set_ylabel("largest error")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=2, frameon=False)
    axes.grid(axis="y", color=INK, alpha=0.15)
    return _svg(figure)


def draw_ulps(ulps: Ulps) -> str:
    """How many elements are off by how many units in the last place."""
    pyplot = _pyplot()
    figure, axes = pyplot.subplots(figsize=(5.5, 2.6))
    labels = [f"to {edge:g}" for edge in _BINS[1:]] + [f"over {_BINS[-1]}"]
    for offset, errors, name, colour in (
        (-0.2, ulps.eager, "PyTorch", EAGER),
        (0.2, ulps.runtime, "the file", RUNTIME),
    ):
        counts, _ = np.histogram(errors, [*_BINS, np.inf])
        axes.bar(np.arange(len(counts)) + offset, 100 * counts / max(1, len(errors)), 0.4, color=colour, label=name)
    axes.set_xticks(np.arange(len(labels)), labels, rotation=45, ha="right")
    axes.set_xlabel("units in the last place")
    axes.set_ylabel("% of elements")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.18), ncols=2, frameon=False)
    axes.grid(axis="y", color=INK, alpha=0.15)
    return _svg(figure)


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
        from matplotlib import pyplot
    except ImportError as error:
        raise UnavailableError(
            "Reports need matplotlib, which is not installed. Install it: pip install 'rnn-export[report]'."
        ) from error
    mpl.use("svg")
    inked = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    # Names inside an SVG are made from the salt, and must differ from those of other plots on the page.
    mpl.rcParams.update({"font.size": 11, "svg.fonttype": "none", "svg.hashsalt": None, **dict.fromkeys(inked, INK)})
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    return pyplot


def _svg(figure: Figure) -> str:
    from matplotlib import pyplot

    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    # The page says how wide it is.
    return re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)


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
