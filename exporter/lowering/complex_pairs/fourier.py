"""Fourier transforms as products with a matrix, which is stored where the number of points is fixed, else computed.

As in an FFT, the frequencies 0 and one half of real points get no imaginary part: the sign of what would be left of it
decides an angle. Nor does the first point reach one, so that NaN stays where PyTorch has it.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from math import pi
from typing import Any

import numpy as np
import torch
from torch.fx import Node

from .writer import Pair, Writer

_aten = torch.ops.aten

# How PyTorch counts the ways to normalize: not at all, by the root of the number of points, by the number.
_POWERS = (0.0, 0.5, 1.0)

# A sine below this is 0: that of any other of 10 million points is larger.
_ZERO = 1e-12


def r2c(writer: Writer, node: Node, x: Node, dims: Sequence[int], norm: int, onesided: bool) -> Pair:
    """Of real x along `dims`, the last of them first; with `onesided` its frequencies up to the half."""
    (*others, last) = dims
    ended = _to_end(writer, x, last)
    points = _points(writer, ended, norm)
    real, sine = points.cosine(ended, onesided), points.sine(ended, onesided, _first(ended))
    z = Pair(_to_end(writer, real, last), _to_end(writer, writer.neg(sine), last))
    return c2c(writer, node, z, others, norm, True)


def _first(x: Node) -> int:
    """The first point that reaches imaginary parts: PyTorch's FFT of more than 16 real points mixes all of them."""
    size = x.meta["val"].shape[-1]
    return 1 if isinstance(size, int) and size <= 16 else 0


def c2c(writer: Writer, node: Node, z: Pair, dims: Sequence[int], norm: int, forward: bool) -> Pair:
    """Of complex z along each of `dims`, forwards or backwards."""
    for dim in dims:
        real, imag = (_to_end(writer, part, dim) for part in (z.real, z.imag))
        points = _points(writer, real, norm)
        away, back = (writer.add, writer.sub) if forward else (writer.sub, writer.add)
        parts = (
            away(points.cosine(real, False), points.sine(imag, False, 1)),
            back(points.cosine(imag, False), points.sine(real, False, 1)),
        )
        z = Pair(*(_to_end(writer, part, dim) for part in parts))
    return z


def c2r(writer: Writer, node: Node, z: Pair, dims: Sequence[int], norm: int, size: Any) -> Any:
    """Of the frequencies up to the half, backwards along `dims`, the last of them last, to `size` real numbers."""
    (*others, last) = dims
    z = c2c(writer, node, z, others, norm, False)
    real, imag = (_to_end(writer, part, last) for part in (z.real, z.imag))
    kind = _Fixed if isinstance(size, int) else _Dynamic
    return _to_end(writer, kind(writer, size, norm, real).real_points(real, imag), last)


def _points(writer: Writer, x: Node, norm: int) -> _Fixed | _Dynamic:
    """The cosines and sines for the points in the last dimension of x."""
    size = x.meta["val"].shape[-1]
    if isinstance(size, int):
        return _Fixed(writer, size, norm, x)
    return _Dynamic(writer, writer.call(_aten.sym_size.int, x, -1), norm, x)


class _Fixed:
    """Matrices that are stored."""

    def __init__(self, writer: Writer, size: int, norm: int, like: Node) -> None:
        self._w, self._size, self._norm, self._dtype = writer, size, norm, like.meta["val"].dtype
        self._half, self._inner = size // 2 + 1, (size - 1) // 2

    def cosine(self, x: Node, onesided: bool) -> Node:
        """Of x [..., size], for each frequency."""
        count = self._half if onesided else self._size
        return self._product(x, f"cos_{count}", self._matrix(np.cos)[:, :count])

    def sine(self, x: Node, onesided: bool, first: int) -> Node:
        """Of x [..., size] from the point `first` on, which is 0 or 1, for each frequency."""
        zeros = self._w.call(_aten.zeros_like.default, _slice(self._w, x, 0, 1))
        if not self._inner:
            count = self._half if onesided else self._size
            return self._w.call(_aten.cat.default, [zeros] * count, -1)
        reaching = _slice(self._w, x, first, self._size)
        half = self._product(reaching, f"sin_{first}", self._matrix(np.sin)[first:, 1 : self._inner + 1])
        parts = [zeros, half, *[zeros] * (self._half - 1 - self._inner)]
        if not onesided:
            parts.append(self._w.call(_aten.neg.default, self._w.call(_aten.flip.default, half, [-1])))
        return self._w.call(_aten.cat.default, parts, -1)

    def real_points(self, real: Node, imag: Node) -> Any:
        """Of the frequencies [..., half] of real numbers: those between 0 and one half stand for two."""
        times = np.array([1.0, *[2.0] * self._inner, *[1.0] * (self._half - 1 - self._inner)])[:, None]
        total = self._product(
            _slice(self._w, real, 0, self._half), "times_cos", times * self._matrix(np.cos)[: self._half]
        )
        if not self._inner:
            return total
        odd = _slice(self._w, imag, 1, self._inner + 1)
        return self._w.sub(total, self._product(odd, "twice_sin", 2 * self._matrix(np.sin)[1 : self._inner + 1]))

    def _matrix(self, function: Any) -> Any:
        steps = np.arange(self._size)
        values = function(2 * pi / self._size * (np.outer(steps, steps) % self._size))
        return np.where(np.abs(values) < _ZERO, 0, values) * self._size ** -_POWERS[self._norm]

    def _product(self, x: Node, name: str, matrix: Any) -> Node:
        values = torch.from_numpy(np.ascontiguousarray(matrix)).to(self._dtype)
        key = f"dft_{name}_{self._size}_{self._norm}_{str(self._dtype).removeprefix('torch.')}"
        return self._w.call(_aten.matmul.default, x, self._w.constant(key, values))


class _Dynamic:
    """Matrices that are computed from the number of points, a node, in float64."""

    def __init__(self, writer: Writer, size: Node, norm: int, like: Node) -> None:
        self._w, self._size, self._norm, self._dtype = writer, size, norm, like.meta["val"].dtype
        self._half = writer.call(operator.add, writer.call(operator.floordiv, size, 2), 1)

    def cosine(self, x: Node, onesided: bool) -> Node:
        return self._product(x, self._matrix(_aten.cos.default, self._size, self._half if onesided else self._size))

    def sine(self, x: Node, onesided: bool, first: int) -> Node:
        count = self._half if onesided else self._size
        sums = self._product(x, self._matrix(_aten.sin.default, self._size, count))
        own = self._is_own_image(self._w.call(_aten.arange.default, count))
        return self._w.call(_aten.masked_fill.Scalar, sums, own, 0.0)

    def real_points(self, real: Node, imag: Node) -> Any:
        call = self._w.call
        frequency = call(_aten.arange.default, self._half)
        twos = call(_aten.full_like.default, frequency, 2.0, dtype=self._dtype)
        times = call(_aten.sub.Tensor, twos, self._is_own_image(frequency))
        cos, sin = (
            self._matrix(function, self._half, self._size) for function in (_aten.cos.default, _aten.sin.default)
        )
        even, odd = (self._w.mul(_slice(self._w, part, 0, self._half), times) for part in (real, imag))
        return self._w.sub(self._product(even, cos), self._product(odd, sin))

    def _is_own_image(self, frequency: Node) -> Node:
        """Whether it is 0 or one half of the points."""
        call = self._w.call
        is_half = call(_aten.eq.Scalar, call(_aten.mul.Tensor, frequency, 2), self._size)
        return call(_aten.logical_or.default, call(_aten.eq.Scalar, frequency, 0), is_half)

    def _matrix(self, function: Any, rows: Node, columns: Node) -> Node:
        call = self._w.call
        down, right = (call(_aten.arange.default, count) for count in (rows, columns))
        steps = call(_aten.mul.Tensor, call(_aten.unsqueeze.default, down, 1), right)
        size = call(_aten.scalar_tensor.default, self._size, dtype=torch.int64)
        steps = call(_aten.remainder.Tensor, steps, size)
        angle = call(_aten._to_copy.default, steps, dtype=torch.float64)
        angle = call(_aten.div.Tensor, call(_aten.mul.Tensor, angle, 2 * pi), self._size)
        values = call(function, angle)
        is_zero = call(_aten.lt.Scalar, call(_aten.abs.default, values), _ZERO)
        values = call(_aten.masked_fill.Scalar, values, is_zero, 0.0)
        if power := _POWERS[self._norm]:
            size = call(_aten.scalar_tensor.default, self._size, dtype=torch.float64)
            values = call(_aten.mul.Tensor, values, call(_aten.pow.Tensor_Scalar, size, -power))
        return call(_aten._to_copy.default, values, dtype=self._dtype)

    def _product(self, x: Any, matrix: Node) -> Node:
        return self._w.call(_aten.matmul.default, x, matrix)


def _slice(writer: Writer, x: Node, start: int, stop: Any) -> Node:
    return writer.call(_aten.slice.Tensor, x, -1, start, stop)


def _to_end(writer: Writer, x: Any, dim: int) -> Any:
    """x with this dimension exchanged with the last one, there or back."""
    rank = len(x.meta["val"].shape)
    return x if dim % rank == rank - 1 else writer.call(_aten.transpose.int, x, dim, -1)
