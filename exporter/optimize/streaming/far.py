"""What a table of steps by steps says of steps that are further apart than any run: its positions are put far apart.

at = Range(0, T); table = Floor(Log(at[:, None] - at) / 7)    is run with 0, 1, 2, .., 2**20, .. in place of Range
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from ...spec.signature import Signature
from ..graph import Array, read
from ..tried_session import tried_session
from .measure import Measured, drawn

# The first few, then eight for each doubling; float32 has all whole numbers up to the last.
_DOUBLINGS = 24
_POSITIONS = np.unique(np.round(2 ** (np.arange(8 * _DOUBLINGS) / 8)).astype(np.int64)) - 1

# Each element of what these compute is that of elements at the same place; or they leave the order of steps as it is.
_NAMES = """
Abs Add And BitShift BitwiseAnd BitwiseOr Cast Ceil Clip Cos Div Equal Exp Expand Floor Greater GreaterOrEqual
Identity Less LessOrEqual Log Max Min Mod Mul Neg Not Or Pow Reciprocal Relu Reshape Round Sigmoid Sign Sin Sqrt
Squeeze Sub Sum Tanh Transpose Unsqueeze Where Xor
"""
_EACH = frozenset(_NAMES.split())
_COUNTS = ("Range", "CumSum")


@dataclass(frozen=True)
class Far:
    """What a table says of each of some distances, along the last axis."""

    distances: NDArray[np.int64]
    values: NDArray[Any]

    def turned(self) -> Far:
        return Far(-self.distances, self.values)

    def beyond(self, first: int, last: int) -> tuple[NDArray[Any], NDArray[Any]]:
        """What it says before and behind these distances."""
        return self.values[..., self.distances < first], self.values[..., self.distances > last]


def far(model: ir.Model, signature: Signature, time: str, measured: Measured, value: ir.Value) -> Far | None:
    """A table at positions far apart; None if it is not computed from positions, each element by itself."""
    axes = measured.varying_axes(value)
    counts = {str(count.name): affine for count, affine in _counts(model.graph, time, measured)}
    if value.name not in _computed(model.graph, measured, {*counts}):
        return None
    sizes = {**dict.fromkeys(signature.symbols, 1), time: _POSITIONS.size}
    try:
        graph = ir.convenience.extract(model.graph, [*signature.inputs, *counts], [str(value.name)])
        session = tried_session(ir.Model(graph, ir_version=model.ir_version))
        given = {**drawn(signature, sizes, 0), **counts}
        wanted = {each.name for each in session.get_inputs()}
        (table,) = session.run(None, {name: array for name, array in given.items() if name in wanted})
    except Exception:  # onnxruntime raises classes of its own that have no common base
        return None
    rows = np.moveaxis(np.asarray(table), axes, (-2, -1))
    if rows.shape[-2:] != (_POSITIONS.size,) * 2:
        return None
    distances = _POSITIONS[:, None] - _POSITIONS[None]
    return Far(distances.reshape(-1), rows.reshape(*rows.shape[:-2], -1))


def _counts(graph: ir.Graph, time: str, measured: Measured) -> Iterator[tuple[ir.Value, Array]]:
    """What counts the steps, and what it would be at the positions."""
    steps = [sizes[time] for sizes in measured.sizes]
    for node in graph:
        value = node.outputs[0]
        arrays = measured.arrays(value) if node.op_type in _COUNTS else []
        if not arrays or len(axes := measured.varying_axes(value)) != 1:
            continue
        rows: list[NDArray[Any]] = [np.moveaxis(array, axes[0], -1) for array in arrays]
        first, by = rows[0][..., :1], rows[0][..., 1:2] - rows[0][..., :1]
        plain = [first.size == 1 and row.size == many for row, many in zip(rows, steps, strict=True)]
        if all(plain) and all(np.array_equal(row, first + by * np.arange(row.size, dtype=row.dtype)) for row in rows):
            line = (first + by * _POSITIONS.astype(first.dtype)).astype(first.dtype)
            yield value, np.ascontiguousarray(np.moveaxis(line, -1, axes[0]))


def _computed(graph: ir.Graph, measured: Measured, counts: set[str]) -> set[str]:
    """What is computed from counts, each element by itself."""
    found, other = set(counts), set[str]()
    for node in graph:
        names = {str(each.name) for each in read(node)}
        outputs = {str(each.name) for each in node.outputs} - counts
        if names & other or (names & found and not _is_each(node, measured, found)):
            other |= outputs
        elif names & found:
            found |= outputs
    return found


def _is_each(node: ir.Node, measured: Measured, found: set[str]) -> bool:
    if node.op_type == "Gather":
        return node.inputs[0] is not None and node.inputs[0].name not in found
    beside = [each for each in node.inputs if each is not None and each.name not in found]
    return node.op_type in _EACH and all(_is_by_order(measured, each) for each in beside)


def _is_by_order(measured: Measured, value: ir.Value) -> bool:
    """Whether a value says no more of two steps than which is the earlier, as a triangle does."""
    arrays = measured.arrays(value)
    if not arrays or not (axes := measured.varying_axes(value)) or arrays[0].ndim == 0:
        return True
    for array in arrays:
        rows = np.moveaxis(array, axes, range(-len(axes), 0))
        if len(axes) > 2:
            return False
        count = rows.shape[-1]
        later = np.sign(np.arange(rows.shape[-2])[:, None] - np.arange(count)) if len(axes) == 2 else np.zeros(count)
        parts = [rows[..., later == which] for which in (-1, 0, 1)]
        if any(part.size and not np.array_equal(part, np.broadcast_to(part[..., :1], part.shape)) for part in parts):
            return False
    return True
