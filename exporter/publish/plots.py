"""The error plots of a report as SVG, in the page's colour of text."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import UnavailableError
from ..parity.multiples import share_in_words
from .measure import Course, Grid, Ulps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
        share = float(grid.shares[row, column])
        colour = INK if np.isnan(share) else _readable_on(colours(share))
        axes.text(column + 0.5, row + 0.5, _in_a_cell(share), ha="center", va="center", color=colour)
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


def _in_a_cell(share: float) -> str:
    if np.isnan(share):
        return "refused"
    # No more fits than three digits.
    return share_in_words(share) if share < 999.5 else "FAIL"


def _readable_on(colour: tuple[float, ...]) -> str:
    """Black or white, whichever has the higher contrast (WCAG's formula)."""
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in colour[:3])
    # At this luminance black and white have the same contrast.
    return "black" if 0.2126 * red + 0.7152 * green + 0.0722 * blue > 0.179 else "white"


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
