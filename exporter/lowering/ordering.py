"""ONNX forms of operators that order values: medians, the k-th value, places in a sorted sequence, distinct values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, nan
from typing import Any

import torch
from onnxscript import opset18 as op

_aten = torch.ops.aten


def _median(x: Any) -> Any:
    """Of all elements."""
    return _middle(op.Reshape(x, _ints(-1)), 0, False, x.dtype.is_floating_point())[0]


def _median_along(x: Any, dim: int, keepdim: bool = False) -> tuple[Any, Any]:
    return _middle(x, dim, keepdim, x.dtype.is_floating_point())


def _middle(x: Any, dim: int, keepdim: bool, is_float: bool) -> tuple[Any, Any]:
    """The lower one of two in the middle; NaN where there is any, and its place."""
    k = op.Add(op.Div(op.Sub(_size(x, dim), _ints(1)), _ints(2)), _ints(1))
    values, places = _smallest(x, k, dim)
    if is_float:
        flags: Any = op.Cast(op.IsNaN(x), to=6)
        any_nan: Any = op.Cast(op.ReduceMax(flags, _ints(dim), keepdims=1), to=9)
        values = op.Where(any_nan, _number(nan, x), values)
        places = op.Where(any_nan, op.ArgMax(flags, axis=dim, keepdims=1), places)
    return _squeezed(values, dim, keepdim), _squeezed(places, dim, keepdim)


def _nanmedian(x: Any) -> Any:
    return _nanmedian_along(op.Reshape(x, _ints(-1)), 0)[0]


def _nanmedian_along(x: Any, dim: int, keepdim: bool = False) -> tuple[Any, Any]:
    """Of what is not NaN; NaN where all is."""
    is_nan = op.IsNaN(x)
    numbers: Any = op.Cast(op.Not(is_nan), to=7)
    count = op.ReduceSum(numbers, _ints(dim), keepdims=1)
    values, places = op.TopK(op.Where(is_nan, _number(inf, x), x), _size(x, dim), axis=dim, largest=0)
    middle = op.Div(op.Max(op.Sub(count, _ints(1)), _ints(0)), _ints(2))
    value, place = (op.GatherElements(each, middle, axis=dim) for each in (values, places))
    value = op.Where(op.Equal(count, _ints(0)), _number(nan, x), value)
    return _squeezed(value, dim, keepdim), _squeezed(place, dim, keepdim)


def _kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Any, Any]:
    values, places = _smallest(x, _ints(k), dim)
    return _squeezed(values, dim, keepdim), _squeezed(places, dim, keepdim)


def _smallest(x: Any, k: Any, dim: int) -> tuple[Any, Any]:
    """The k-th smallest along a dimension, which stays with length 1, and its place."""
    found = op.TopK(x, k, axis=dim, largest=0)
    return tuple(op.Gather(each, op.Sub(k, _ints(1)), axis=dim) for each in found)  # type: ignore[return-value]


def _searchsorted(sequence: Any, values: Any, out_int32: bool = False, right: bool = False, **other: Any) -> Any:
    """How many elements of `sequence` [..., n] come before each of `values` [..., m]; NaN comes last of all."""
    if other.get("sorter") is not None or other.get("side") not in (None, "left", "right"):
        raise NotImplementedError("searchsorted with a sorter")
    right = right or other.get("side") == "right"
    # A sequence of one dimension serves values of any.
    sequence = sequence if len(sequence.shape) == 1 else op.Unsqueeze(sequence, _ints(-2))
    value = op.Unsqueeze(values, _ints(-1))
    before = op.LessOrEqual(sequence, value) if right else op.Less(sequence, value)
    if values.dtype.is_floating_point():
        before = op.Or(before, op.IsNaN(value))
    ones: Any = op.Cast(before, to=6 if out_int32 else 7)
    return op.ReduceSum(ones, _ints(-1), keepdims=0)


def _unique(x: Any, _sorted: bool = True, _inverse: bool = False, _counts: bool = False) -> tuple[Any, Any, Any]:
    """Of all elements: the distinct ones in order, which of them each element is, and how often each occurs."""
    values, _, inverse, counts = op.Unique(op.Reshape(x, _ints(-1)), sorted=1)
    return values, op.Reshape(inverse, op.Shape(x)), counts


def _masked_select(x: Any, mask: Any) -> Any:
    shape = op.Shape(op.And(op.Equal(x, x), mask))
    return op.Compress(op.Reshape(op.Expand(x, shape), _ints(-1)), op.Reshape(op.Expand(mask, shape), _ints(-1)))


def _size(x: Any, dim: int) -> Any:
    return op.Gather(op.Shape(x), _ints(dim))


def _squeezed(x: Any, dim: int, keepdim: bool) -> Any:
    return x if keepdim else op.Squeeze(x, _ints(dim))


def _ints(*numbers: int) -> Any:
    return op.Constant(value_ints=list(numbers))


def _number(number: Any, like: Any) -> Any:
    return op.CastLike(number, like)


ORDERING: Mapping[Callable[..., Any], Callable[..., Any]] = {
    _aten.median.default: _median,
    _aten.median.dim: _median_along,
    _aten.nanmedian.default: _nanmedian,
    _aten.nanmedian.dim: _nanmedian_along,
    _aten.kthvalue.default: _kthvalue,
    _aten.searchsorted.Tensor: _searchsorted,
    _aten._unique2.default: _unique,
    _aten.masked_select.default: _masked_select,
}
