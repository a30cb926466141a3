"""Rules for what is computed of complex numbers, each from the parts of its arguments.

A real argument counts as one with an imaginary part of 0, as in PyTorch: of an infinite factor there is more than one
product, and some of them are NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.fx import Node

from .writer import Pair, Real, Writer

_aten = torch.ops.aten


class Arithmetic:
    """Complex arithmetic in real nodes of one dtype."""

    def __init__(self, writer: Writer, dtype: torch.dtype) -> None:
        self._w, self._dtype = writer, dtype

    def pair(self, value: Any) -> Pair:
        """Of a pair, a real node or a number."""
        if isinstance(value, Pair):
            return Pair(self._w.cast(value.real, self._dtype), self._w.cast(value.imag, self._dtype))
        if isinstance(value, Node):
            return Pair(self._w.cast(value, self._dtype), 0.0)
        return Pair(complex(value).real, complex(value).imag)

    def add(self, a: Any, b: Any, alpha: Any = 1) -> Pair:
        x, y = self.pair(a), self._times(b, alpha)
        return Pair(self._w.add(x.real, y.real), self._w.add(x.imag, y.imag))

    def sub(self, a: Any, b: Any, alpha: Any = 1) -> Pair:
        x, y = self.pair(a), self._times(b, alpha)
        return Pair(self._w.sub(x.real, y.real), self._w.sub(x.imag, y.imag))

    def rsub(self, a: Any, b: Any, alpha: Any = 1) -> Pair:
        return self.sub(b, a, alpha)

    def _times(self, b: Any, alpha: Any) -> Pair:
        """PyTorch multiplies by alpha even where it is 1, so that NaN spreads to both parts."""
        return self.mul(b, alpha)

    def mul(self, a: Any, b: Any) -> Pair:
        return self.product(self._w.mul, self.pair(a), self.pair(b))

    def product(self, times: Callable[[Any, Any], Any], x: Pair, y: Pair) -> Pair:
        """Any product that is linear in both factors, such as that of matrices."""
        real = self._w.sub(times(x.real, y.real), times(x.imag, y.imag))
        return Pair(real, self._w.add(times(x.real, y.imag), times(x.imag, y.real)))

    def div(self, a: Any, b: Any) -> Pair:
        """By Smith's method, which scales the divisor, so that its square does not overflow.

        Source: Smith, "Algorithm 116: Complex division", 1962.
        """
        w, x, y = self._w, self.pair(a), self.pair(b)
        scale = self._larger(y.real, y.imag)
        c, d = w.div(y.real, scale), w.div(y.imag, scale)
        norm = w.mul(w.add(w.mul(c, c), w.mul(d, d)), scale)
        real = w.add(w.mul(x.real, c), w.mul(x.imag, d))
        imag = w.sub(w.mul(x.imag, c), w.mul(x.real, d))
        return Pair(w.div(real, norm), w.div(imag, norm))

    def reciprocal(self, a: Any) -> Pair:
        return self.div(1.0, a)

    def _larger(self, a: Real, b: Real) -> Real:
        if isinstance(a, Node) and isinstance(b, Node):
            return self._w.call(_aten.maximum.default, self._abs(a), self._abs(b))
        if isinstance(a, Node) or isinstance(b, Node):
            node, number = (a, b) if isinstance(a, Node) else (b, a)
            return self._w.call(_aten.clamp.default, self._abs(node), abs(number))  # type: ignore[arg-type]
        return max(abs(a), abs(b))

    def _abs(self, a: Real) -> Node:
        return self._w.call(_aten.abs.default, a)

    def square(self, a: Any) -> Pair:
        return self.mul(a, a)

    def pow(self, a: Any, exponent: Any) -> Pair:
        """To a whole power by products, to any other as exp(y log x)."""
        if isinstance(exponent, (int, float)) and exponent == int(exponent) and 1 <= abs(exponent) <= 8:
            power = self.pair(a)
            for _ in range(int(abs(exponent)) - 1):
                power = self.mul(power, a)
            return power if exponent > 0 else self.reciprocal(power)
        return self.exp(self.mul(exponent, self.log(a)))

    def exp(self, a: Any) -> Pair:
        x = self.pair(a)
        return self.polar(self._w.call(_aten.exp.default, x.real), x.imag)

    def polar(self, length: Any, angle: Any) -> Pair:
        cos, sin = self._w.call(_aten.cos.default, angle), self._w.call(_aten.sin.default, angle)
        return Pair(self._w.mul(length, cos), self._w.mul(length, sin))

    def log(self, a: Any) -> Pair:
        return Pair(self._w.call(_aten.log.default, self.abs(a)), self.angle(a))

    def sqrt(self, a: Any) -> Pair:
        """With a real part that is not negative: of |x| + |re|, so that nothing cancels."""
        w, x = self._w, self.pair(a)
        half = w.mul(w.add(self.abs(a), self._abs(x.real)), 0.5)
        larger = w.call(_aten.sqrt.default, half)
        zero = w.call(_aten.eq.Scalar, larger, 0.0)
        smaller = w.call(_aten.where.self, zero, larger, w.div(w.mul(self._abs(x.imag), 0.5), larger))
        is_right, is_above = (w.call(_aten.ge.Scalar, part, 0.0) for part in (x.real, x.imag))
        real, imag = (w.call(_aten.where.self, is_right, *both) for both in ((larger, smaller), (smaller, larger)))
        return Pair(real, w.call(_aten.where.self, is_above, imag, w.neg(imag)))

    def abs(self, a: Any) -> Node:
        return hypot(self._w, *self._nodes(a))

    def angle(self, a: Any) -> Node:
        x = self._nodes(a)
        return self._w.call(_aten.atan2.default, x[1], x[0])

    def _nodes(self, a: Any) -> tuple[Node, Node]:
        x = self.pair(a)
        parts = [part for part in (x.real, x.imag) if isinstance(part, Node)]
        assert parts
        real, imag = (
            part if isinstance(part, Node) else self._w.call(_aten.full_like.default, parts[0], part)
            for part in (x.real, x.imag)
        )
        return real, imag

    def sgn(self, a: Any) -> Pair:
        """The number of length 1 in the same direction; 0 of 0."""
        w, x, length = self._w, self.pair(a), self.abs(a)
        nonzero = w.add(length, w.cast(w.call(_aten.eq.Scalar, length, 0.0), self._dtype))
        return Pair(w.div(x.real, nonzero), w.div(x.imag, nonzero))

    def conj(self, a: Any) -> Pair:
        x = self.pair(a)
        return Pair(x.real, self._w.neg(x.imag))

    def cos(self, a: Any) -> Pair:
        x, w = self.pair(a), self._w
        (cos, sin), (cosh, sinh) = self._circular(x.real), self._hyperbolic(x.imag)
        return Pair(w.mul(cos, cosh), w.neg(w.mul(sin, sinh)))

    def sin(self, a: Any) -> Pair:
        x, w = self.pair(a), self._w
        (cos, sin), (cosh, sinh) = self._circular(x.real), self._hyperbolic(x.imag)
        return Pair(w.mul(sin, cosh), w.mul(cos, sinh))

    def _circular(self, a: Real) -> tuple[Node, Node]:
        return self._w.call(_aten.cos.default, a), self._w.call(_aten.sin.default, a)

    def _hyperbolic(self, a: Real) -> tuple[Node, Node]:
        return self._w.call(_aten.cosh.default, a), self._w.call(_aten.sinh.default, a)


def hypot(w: Writer, a: Node, b: Node) -> Node:
    """The length of (a, b), whose squares neither overflow nor vanish.

    Of an infinity and NaN it is infinite, as the C standard has it.
    """
    call = w.call
    larger = call(_aten.maximum.default, call(_aten.abs.default, a), call(_aten.abs.default, b))
    is_scale = call(
        _aten.logical_and.default, call(_aten.gt.Scalar, larger, 0.0), call(_aten.lt.Scalar, larger, float("inf"))
    )
    scale = call(_aten.where.self, is_scale, larger, call(_aten.ones_like.default, larger))
    x, y = w.div(a, scale), w.div(b, scale)
    length = w.mul(call(_aten.sqrt.default, w.add(w.mul(x, x), w.mul(y, y))), scale)
    is_infinite = call(_aten.logical_or.default, call(_aten.isinf.default, a), call(_aten.isinf.default, b))
    return call(_aten.masked_fill.Scalar, length, is_infinite, float("inf"))
