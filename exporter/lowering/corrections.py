"""ONNX forms of operators whose translation by PyTorch's exporter is wrong, or is none, at opset 18."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import pi
from typing import Any

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


CORRECTIONS: Mapping[Callable[..., Any], Callable[..., Any]] = {
    _aten.atan2.default: _atan2,
    _aten.copy.default: _copy,
}
