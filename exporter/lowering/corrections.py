"""ONNX forms of operators whose translation by PyTorch's exporter is wrong, or is none, at opset 18."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf, pi
from typing import Any

import onnx_ir as ir
import torch
from onnxscript import opset18 as op

_aten = torch.ops.aten


def _atan2(y: Any, x: Any) -> Any:
    """All four quadrants, and both signs of 0. PyTorch's translation is off by 2 pi at y = 0, and 0 for NaN."""
    height, width = op.Abs(y), op.Abs(x)
    is_steep = op.Greater(height, width)
    smaller, larger = op.Where(is_steep, width, height), op.Where(is_steep, height, width)
    zero, one = _number(0.0, y), _number(1.0, y)
    # 0 / 0 is 0 here, and infinity / infinity is 1.
    same = op.Where(op.Equal(larger, zero), zero, one)
    angle = op.Atan(op.Where(op.Equal(smaller, larger), same, op.Div(smaller, larger)))
    angle = op.Where(is_steep, op.Sub(_number(pi / 2, y), angle), angle)
    angle = op.Where(_has_sign(x), op.Sub(_number(pi, y), angle), angle)
    return op.Where(_has_sign(y), op.Neg(angle), angle)


def _number(number: Any, like: Any) -> Any:
    return op.CastLike(number, like)


def _has_sign(x: Any) -> Any:
    """Whether x is below 0, or the 0 whose reciprocal is."""
    zero = _number(0.0, x)
    return op.Or(op.Less(x, zero), op.Less(op.Reciprocal(x), zero))


def _copy(x: Any, source: Any, _non_blocking: bool = False) -> Any:
    """`source` in the dtype and the shape of x; PyTorch's translation leaves its own shape."""
    return op.Expand(op.CastLike(source, x), op.Shape(x))


def _sign(x: Any) -> Any:
    """0 of NaN, as in PyTorch."""
    if not x.dtype.is_floating_point():
        return op.Sign(x)
    return op.Where(op.IsNaN(x), _number(0.0, x), op.Sign(x))


def _hypot(x: Any, y: Any) -> Any:
    """The larger one times sqrt(1 + r * r), whose squares neither overflow nor vanish; infinite where one is."""
    width, height = op.Abs(x), op.Abs(y)
    is_steep = op.Greater(height, width)
    smaller, larger = op.Where(is_steep, width, height), op.Where(is_steep, height, width)
    zero, one = _number(0.0, x), _number(1.0, x)
    ratio = op.Where(op.Equal(larger, zero), zero, op.Div(smaller, larger))
    length = op.Mul(larger, op.Sqrt(op.Add(one, op.Mul(ratio, ratio))))
    return op.Where(op.Or(op.IsInf(width), op.IsInf(height)), _number(inf, x), length)


def _floor_divide(x: Any, y: Any) -> Any:
    """Down to the next whole number. Of floats by what the division leaves, for a quotient may round up to a whole one.

    Source: Python's float_floor_div, which PyTorch follows.
    """
    zero, one = _number(0, x), _number(1, x)
    if not x.dtype.is_floating_point():
        quotient = op.Div(x, y)
        rest = op.Sub(x, op.Mul(quotient, y))
        is_below = op.And(op.Not(op.Equal(rest, zero)), op.Xor(op.Less(rest, zero), op.Less(y, zero)))
        return op.Sub(quotient, op.CastLike(is_below, x))
    rest = op.Mod(x, y, fmod=1)
    quotient = op.Div(op.Sub(x, rest), y)
    is_below = op.And(op.Not(op.Equal(rest, zero)), op.Xor(op.Less(rest, zero), op.Less(y, zero)))
    quotient = op.Sub(quotient, op.CastLike(is_below, x))
    floored = op.Floor(quotient)
    floored = op.Where(op.Greater(op.Sub(quotient, floored), _number(0.5, x)), op.Add(floored, one), floored)
    return op.Where(op.Equal(y, zero), op.Div(x, y), floored)


def _div_mode(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    if rounding_mode == "floor":
        return _floor_divide(x, y)
    quotient = op.Div(x, y)
    if rounding_mode is None or not x.dtype.is_floating_point():
        return quotient
    return op.Where(op.Less(quotient, _number(0, x)), op.Ceil(quotient), op.Floor(quotient))


def _where(condition: Any, x: Any, y: Any) -> Any:
    """Of truth values by logic: ONNX Runtime's CPU provider has no `Where` of these."""
    if x.dtype != ir.DataType.BOOL or y.dtype != ir.DataType.BOOL:
        return op.Where(condition, x, y)
    return op.Or(op.And(condition, x), op.And(op.Not(condition), y))


def _amax(x: Any, dim: Sequence[int] = (), keepdim: bool = False) -> Any:
    """PyTorch's translation does not take the largest of all elements."""
    return op.ReduceMax(x, *_axes(dim), keepdims=int(keepdim))


def _amin(x: Any, dim: Sequence[int] = (), keepdim: bool = False) -> Any:
    return op.ReduceMin(x, *_axes(dim), keepdims=int(keepdim))


def _axes(dim: Sequence[int]) -> list[Any]:
    return [op.Constant(value_ints=[*dim])] if dim else []


CORRECTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    _aten.atan2.default: _atan2,
    _aten.copy.default: _copy,
    _aten.where.self: _where,
    _aten.sign.default: _sign,
    _aten.sgn.default: _sign,
    _aten.hypot.default: _hypot,
    _aten.floor_divide.default: _floor_divide,
    _aten.div.Tensor_mode: _div_mode,
    _aten.amax.default: _amax,
    _aten.amin.default: _amin,
}
