"""A piece of a tensor as a `Slice`, and a `Reshape` to the length that the graph goes on with, which takes no other."""

from __future__ import annotations

from typing import Any

from onnxscript import opset18 as op


def translate_piece(x: Any, dim: int, start: Any, stop: Any, size: Any) -> Any:
    """`rnn_export::piece`."""
    one: Any = op.Constant(value_ints=[1])
    axis: Any = op.Constant(value_ints=[dim])
    taken = op.Slice(x, op.Reshape(start, one), op.Reshape(stop, one), axis)
    sizes = [op.Reshape(size, one)]
    # A zero stands for the size that is there.
    if dim:
        before: Any = op.Constant(value_ints=[0] * dim)
        sizes.insert(0, before)
    if rest := len(x.shape) - dim - 1:
        after: Any = op.Constant(value_ints=[0] * rest)
        sizes.append(after)
    return op.Reshape(taken, op.Concat(*sizes, axis=0) if len(sizes) > 1 else sizes[0])
