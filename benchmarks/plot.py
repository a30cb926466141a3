"""The plots, as SVG that is read on a phone and on a dark page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator
from matplotlib.transforms import Transform

from .results import RowResult
from .verdicts import ours

mpl.use("svg")

# Of middling lightness: they stand out from white and from black.
COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "ours": "#e4572e",
        "eager": "#8d99ae",
        "torch.jit": "#a67cc5",
        "deprecated exporter": "#2a9d8f",
        "dynamo exporter": "#4d96d9",
        "OpenVINO": "#c9a227",
    }
)
_MARKS = {
    "ours": "o",
    "eager": "s",
    "torch.jit": "v",
    "deprecated exporter": "^",
    "dynamo exporter": "D",
    "OpenVINO": "P",
}
# Text and axes are drawn in this, which the file then calls the colour of text, light or dark.
_INK = "#010203"
_STYLE = "<style>:root{color:#24292f}@media(prefers-color-scheme:dark){:root{color:#d0d7de}}</style>"
_SETTINGS: Any = {
    "font.size": 11,
    "svg.hashsalt": "benchmarks",
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK),
}


def plot_rates(results: Sequence[RowResult], path: Path) -> None:
    """The share of the limit that each engine reaches, shape by shape; the limit is the line at 100%."""
    if not results:
        return
    places = dict(_places(results))
    last = max(places.values())
    with mpl.rc_context(_SETTINGS):
        figure, axes = plt.subplots(figsize=(5.5, 1.3 + 0.25 * last))
        for name, mark in _MARKS.items():
            _draw_engine(axes, name, mark, [(result, places[id(result)]) for result in results])
        for result in results:
            if result is _first_of_shape(results, result):
                axes.text(0, places[id(result)] - 0.85, str(result.row.shape), transform=_beside(axes), weight="bold")
        axes.axvline(100, color=_INK, linewidth=1)
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 50, 100]))
        axes.xaxis.set_major_formatter("{x:g}%")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_yticks([places[id(result)] for result in results], [result.row.model for result in results])
        axes.set_ylim(last + 0.7, -0.9)
        axes.set_xlabel("share of the limit (line: 100%)")
        axes.grid(axis="both", color=_INK, alpha=0.15)
        figure.legend(loc="upper center", ncols=3, frameon=False, columnspacing=1, handletextpad=0.2)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.62 / figure.get_figheight()))
        _save(figure, path)


def plot_growth(results: Sequence[RowResult], path: Path) -> None:
    """Milliseconds against T at N=1, and against N at T=35: a line for each model and engine, both axes logarithmic."""
    if not results:
        return
    models = list(dict.fromkeys(result.row.model for result in results))
    with mpl.rc_context(_SETTINGS):
        figure, grid = plt.subplots(len(models), 2, figsize=(5.5, 1 + 2 * len(models)), squeeze=False, sharex="col")
        for model, (left, right) in zip(models, grid, strict=True):
            mine = [result for result in results if result.row.model == model]
            _draw_growth(left, [result for result in mine if result.row.shape.N == 1], lambda row: row.row.shape.T)
            _draw_growth(right, [result for result in mine if result.row.shape.T == 35], lambda row: row.row.shape.N)
            left.set_ylabel("ms")
            left.set_title(f"{model}, N=1", fontsize=11)
            right.set_title(f"{model}, T=35", fontsize=11)
        grid[-1][0].set_xlabel("T")
        grid[-1][1].set_xlabel("N")
        figure.legend(*grid[0][0].get_legend_handles_labels(), loc="upper center", ncols=2, frameon=False)
        figure.tight_layout(rect=(0, 0, 1, 1 - 0.6 / figure.get_figheight()))
        _save(figure, path)


def _places(results: Sequence[RowResult]) -> Iterator[tuple[int, float]]:
    """Where each row is drawn, from the top: shapes together, with room for their names."""
    place = 0.0
    for shape in dict.fromkeys(result.row.shape for result in results):
        place += 1
        for result in results:
            if result.row.shape == shape:
                yield id(result), place
                place += 1


def _first_of_shape(results: Sequence[RowResult], result: RowResult) -> RowResult:
    return next(other for other in results if other.row.shape == result.row.shape)


def _beside(axes: Axes) -> Transform:
    """Across from the left edge, down as the rows are."""
    return axes.get_yaxis_transform()


def _draw_engine(axes: Axes, name: str, mark: str, places: Sequence[tuple[RowResult, float]]) -> None:
    found = [
        (100 * result.limit / engine.seconds, place)
        for result, place in places
        if (engine := ours(result) if name == "ours" else result.timed().get(name))
    ]
    if found:
        front = name == "ours"
        x, y = zip(*found, strict=True)
        axes.plot(x, y, mark, color=COLOURS[name], label=name, markersize=9 if front else 6, zorder=3 if front else 2)


def _draw_growth(axes: Axes, results: Sequence[RowResult], size: Callable[[RowResult], int]) -> None:
    results = sorted(results, key=size)
    for name in dict.fromkeys(name for result in results for name in result.timed()):
        points = [(size(result), 1e3 * result.engines[name].seconds) for result in results if name in result.timed()]
        x, y = zip(*points, strict=True)
        axes.loglog(x, y, marker=_MARKS[name], color=COLOURS[name], label=name, markersize=5)
    axes.loglog(
        [size(result) for result in results], [1e3 * result.limit for result in results], ":", color=_INK, label="limit"
    )
    axes.grid(color=_INK, alpha=0.15)


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(path, format="svg", transparent=True, metadata={"Date": None})
    plt.close(figure)
    drawn = path.read_text().replace(_INK, "currentColor")
    path.write_text(drawn.replace("<defs>", f"{_STYLE}<defs>", 1))
