"""ONNX forms of adaptive pooling to any sizes: the windows are gathered by index, for they depend on a dynamic size.

Window i of n over L elements begins at floor(i L / n) and ends before ceil((i + 1) L / n), so that windows overlap and
differ by one in length: each is gathered at the length L // n + 2, and what lies beyond its end takes no part.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from onnxscript import opset18 as op

_aten = torch.ops.aten


@dataclass(frozen=True)
class _Windows:
    """The windows of x [..., *sizes], flat: [..., *counts, width], which elements are theirs, and where these lie.

    `lengths` [*counts] are floats; `places` [*counts, width] count through the pooled dimensions.
    """

    elements: Any
    valid: Any
    lengths: Any
    places: Any


def _windows(x: Any, counts: Sequence[Any]) -> _Windows:
    dims, rank = len(counts), len(x.shape)
    first = rank - dims
    shape = op.Shape(x)
    valid: Any = None
    places: Any = None
    lengths: Any = None
    # Each dimension becomes two, its windows and their elements; the windows of all come first then.
    for i, count in enumerate(counts):
        size = _picked(shape, first + i)
        number = op.Reshape(count, _ints(1)) if not isinstance(count, int) else _ints(count)
        starts, ends = _bounds(number, size)
        offsets = op.Range(_int(0), op.Squeeze(op.Add(op.Div(size, number), _ints(2))), _int(1))
        index = op.Add(op.Unsqueeze(starts, _ints(1)), offsets)
        inside = op.Less(index, op.Unsqueeze(ends, _ints(1)))
        clipped = op.Min(index, op.Sub(size, _ints(1)))
        x = op.Gather(x, clipped, axis=first + 2 * i)
        axes = [j for j in range(2 * dims) if j not in (i, dims + i)]
        inside, place = (op.Unsqueeze(each, _ints(*axes)) if axes else each for each in (inside, clipped))
        length = op.Sub(ends, starts)
        others = [j for j in range(dims) if j != i]
        length = op.Unsqueeze(length, _ints(*others)) if others else length
        valid = inside if valid is None else op.And(valid, inside)
        places = place if places is None else op.Add(op.Mul(places, size), place)
        lengths = length if lengths is None else op.Mul(lengths, length)
    order = [*range(first), *(first + 2 * i for i in range(dims)), *(first + 2 * i + 1 for i in range(dims))]
    x = op.Transpose(x, perm=order)
    valid, places = (_flat(op.Expand(each, op.Shape(x)), dims) for each in (valid, places))
    return _Windows(_flat(x, dims), valid, lengths, places)


def _bounds(count: Any, size: Any) -> tuple[Any, Any]:
    """The first element of each window, and the one beyond its last."""
    windows = op.Range(_int(0), op.Squeeze(count), _int(1))
    ends = op.Mul(op.Add(windows, _int(1)), size)
    rounded = op.Sub(op.Add(ends, count), _ints(1))
    return op.Div(op.Mul(windows, size), count), op.Div(rounded, count)


def _flat(x: Any, dims: int) -> Any:
    """The last `dims` dimensions as one."""
    kept = op.Shape(x, end=-dims)
    return op.Reshape(x, op.Concat(kept, _ints(-1), axis=0))


def _average(x: Any, counts: Any) -> Any:
    if all(count == 1 for count in _listed(counts)):
        return op.ReduceMean(x, _ints(*range(-len(_listed(counts)), 0)))
    windows = _windows(x, _listed(counts))
    zero = op.CastLike(_int(0), x)
    total = op.ReduceSum(op.Where(windows.valid, windows.elements, zero), _ints(-1), keepdims=0)
    return op.Div(total, op.CastLike(windows.lengths, x))


def _maximum(x: Any, counts: Any) -> tuple[Any, Any]:
    windows = _windows(x, _listed(counts))
    least: Any = float("-inf")
    elements = op.Where(windows.valid, windows.elements, op.CastLike(least, x))
    place = op.ArgMax(elements, axis=-1, keepdims=1)
    index = op.Squeeze(op.GatherElements(windows.places, place, axis=-1), _ints(-1))
    return op.ReduceMax(elements, _ints(-1), keepdims=0), index


def _listed(counts: Any) -> list[Any]:
    """A number for each dimension; one that is a size is a value."""
    return list(counts) if isinstance(counts, (list, tuple)) else [counts]


def _picked(shape: Any, axis: int) -> Any:
    return op.Gather(shape, _ints(axis))


def _int(number: int) -> Any:
    return op.Constant(value_int=number)


def _ints(*numbers: int) -> Any:
    return op.Constant(value_ints=list(numbers))


ADAPTIVE_POOLING: Mapping[Callable[..., Any], Callable[..., Any]] = {
    **dict.fromkeys(
        (
            *(_aten.adaptive_avg_pool1d.default, _aten.adaptive_avg_pool2d.default),
            *(_aten.adaptive_avg_pool3d.default, _aten._adaptive_avg_pool2d.default),
            _aten._adaptive_avg_pool3d.default,
        ),
        _average,
    ),
    **dict.fromkeys(
        (
            *(_aten.adaptive_max_pool1d.default, _aten.adaptive_max_pool2d.default),
            _aten.adaptive_max_pool3d.default,
        ),
        _maximum,
    ),
}
