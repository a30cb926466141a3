"""What each operator on complex tensors becomes: a pair of real nodes, or one real node."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.fx import Node

from ...capture.control_flow.operators import close
from . import fourier
from .arithmetic import Arithmetic
from .parts import ELEMENTS, by_parts, pair_of
from .writer import REAL_DTYPES, Pair, Writer

_aten = torch.ops.aten

Rule = Callable[[Writer, Node, Sequence[Any], Mapping[str, Any]], Any]


def rule_of(target: Any) -> Rule | None:
    """The rule for an operator: of a writer, the node, and its arguments with a pair for each complex node."""
    if target in _OVERLOADS:
        return _OVERLOADS[target]
    packet = getattr(target, "overloadpacket", target)
    if packet in ELEMENTS:
        return by_parts
    return _RULES.get(packet)


def _arithmetic(method: Callable[..., Any]) -> Rule:
    def rule(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return method(Arithmetic(writer, _real_dtype(node, args)), *args, **kwargs)

    return rule


def _real_dtype(node: Node, args: Sequence[Any]) -> torch.dtype:
    """The dtype of the parts that an operator computes in: of its result, or else of its first complex argument."""
    value = node.meta["val"]
    if isinstance(value, torch.Tensor) and value.is_complex():
        return REAL_DTYPES[value.dtype]
    found = next(arg.real.meta["val"].dtype for arg in args if isinstance(arg, Pair))
    assert isinstance(found, torch.dtype)
    return found


def _product(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    arithmetic = Arithmetic(writer, _real_dtype(node, args))
    x, y = (pair_of(writer, arg, _real_dtype(node, args)) for arg in args)
    return arithmetic.product(lambda a, b: writer.call(node.target, a, b), x, y)


def _added_product(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    """`addmm` and its kind: beta * bias + alpha * a @ b."""
    bias, a, b = args[:3]
    arithmetic = Arithmetic(writer, _real_dtype(node, args))
    product = arithmetic.product(
        lambda x, y: writer.call(_aten.matmul.default, x, y), arithmetic.pair(a), arithmetic.pair(b)
    )
    scaled = bias if kwargs.get("beta", 1) == 1 else arithmetic.mul(bias, kwargs["beta"])
    return arithmetic.add(scaled, product, kwargs.get("alpha", 1))


def _adjoint(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    """Transposed and conjugate."""
    real, imag = (writer.call(_aten.transpose.int, part, -2, -1) for part in (args[0].real, args[0].imag))
    return Pair(real, writer.neg(imag))


def _complex(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    real, imag = args
    if real.meta["val"].shape == imag.meta["val"].shape:
        return Pair(real, imag)
    both = writer.call(_aten.broadcast_tensors.default, [real, imag])
    return Pair(*(writer.call(operator.getitem, both, i) for i in (0, 1)))


def _polar(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    return Arithmetic(writer, _real_dtype(node, args)).polar(*args)


def _view_as_complex(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    return Pair(*(writer.call(_aten.select.int, args[0], -1, i) for i in (0, 1)))


def _view_as_real(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Node:
    return writer.call(_aten.stack.default, [args[0].real, args[0].imag], -1)


def _real(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[0].real if isinstance(args[0], Pair) else args[0]


def _imag(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return args[0].imag


def _size(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Node:
    """Of either part."""
    return writer.call(node.target, args[0].real, *args[1:])


def _cast(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """`to`: a real result is the real part, a real argument has no imaginary one."""
    dtype = node.meta["val"].dtype
    if not dtype.is_complex:
        return writer.cast(args[0].real, dtype)
    return pair_of(writer, args[0], REAL_DTYPES[dtype])


def _view_dtype(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Complex numbers as twice as many real ones along the last dimension, or the other way round."""
    if isinstance(args[0], Pair):
        return writer.call(_aten.flatten.using_ints, _view_as_real(writer, node, args, kwargs), -2, -1)
    return Pair(*(writer.call(_aten.slice.Tensor, args[0], -1, i, 2**63 - 1, 2) for i in (0, 1)))


def _like(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    """`zeros_like` and its kind; what is like a complex tensor is like its real part."""
    name = _name(node).removesuffix("_like")
    like = args[0].real if isinstance(args[0], Pair) else args[0]
    return _filled(writer, node, _aten.full_like.default, like, args[1] if name == "full" else _VALUES[name])


def _new(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    """`zeros` and its kind, and `new_zeros` and its kind, of which the size is all that counts."""
    name = _name(node)
    size, *value = args[1:] if name.startswith("new_") else args
    name = name.removeprefix("new_")
    return _filled(writer, node, _aten.full.default, size, value[0] if name == "full" else _VALUES[name])


_VALUES = {"zeros": 0.0, "ones": 1.0, "empty": 0.0}


def _filled(writer: Writer, node: Node, target: Any, shape: Any, value: Any) -> Pair:
    number, dtype = complex(value), REAL_DTYPES[node.meta["val"].dtype]
    return Pair(*(writer.call(target, shape, part, dtype=dtype) for part in (number.real, number.imag)))


def _name(node: Node) -> str:
    return str(node.target.overloadpacket.__name__)  # type: ignore[union-attr]


def _r2c(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    return fourier.r2c(writer, node, *args)


def _c2c(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Pair:
    return fourier.c2c(writer, node, *args)


def _c2r(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    return fourier.c2r(writer, node, *args)


def _compared(joined: Any) -> Rule:
    def rule(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Node:
        """Of both parts: equal where both are, not equal where one is not."""
        arithmetic = Arithmetic(writer, _real_dtype(node, args))
        pairs = [arithmetic.pair(arg) for arg in args]
        parts = [[getattr(pair, name) for pair in pairs] for name in ("real", "imag")]
        return writer.call(joined, *(_compare(writer, node.target, *part) for part in parts))

    return rule


def _compare(writer: Writer, target: Any, a: Any, *b: Any) -> Node:
    packet = target.overloadpacket
    if not b:
        return writer.call(packet.default, a)
    if not isinstance(a, Node):
        a, b = b[0], (a,)
    return writer.call(packet.Tensor if isinstance(b[0], Node) else packet.Scalar, a, *b)


def _dropped(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """A check of a complex dtype, which nothing uses."""


def _close(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Node:
    """The end of a loop ties together both parts of what it carries."""
    step, parts, number = args
    both = [part for each in parts for part in ((each.real, each.imag) if isinstance(each, Pair) else (each,))]
    return writer.node(node.target, (step, both, number), {}, node.meta["val"])


def _norm(writer: Writer, node: Node, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Node:
    """Of the absolute values."""
    length = Arithmetic(writer, _real_dtype(node, args)).abs(args[0])
    return writer.call(node.target, length, *args[1:], **kwargs)


_RULES: Mapping[Any, Rule] = {
    **{
        getattr(_aten, name): _arithmetic(getattr(Arithmetic, name))
        for name in ("add", "sub", "rsub", "mul", "div", "reciprocal", "square", "pow", "exp", "log", "sqrt")
    },
    **{getattr(_aten, name): _arithmetic(getattr(Arithmetic, name)) for name in ("abs", "angle", "sgn", "cos", "sin")},
    **dict.fromkeys((_aten._conj, _aten.conj, _aten._conj_physical, _aten.conj_physical), _arithmetic(Arithmetic.conj)),
    **dict.fromkeys((_aten.matmul, _aten.mm, _aten.bmm, _aten.mv, _aten.dot), _product),
    **dict.fromkeys((_aten.addmm, _aten.addmv, _aten.baddbmm), _added_product),
    **dict.fromkeys((_aten.adjoint, _aten.mH, _aten.matrix_H), _adjoint),
    _aten.complex: _complex,
    _aten.polar: _polar,
    _aten.view_as_complex: _view_as_complex,
    _aten.view_as_real: _view_as_real,
    _aten.real: _real,
    _aten.imag: _imag,
    **dict.fromkeys((_aten._to_copy, _aten.to, _aten.type_as), _cast),
    **dict.fromkeys((_aten.full_like, _aten.zeros_like, _aten.ones_like, _aten.empty_like), _like),
    **dict.fromkeys((_aten.full, _aten.zeros, _aten.ones, _aten.empty), _new),
    **dict.fromkeys((_aten.new_full, _aten.new_zeros, _aten.new_ones, _aten.new_empty), _new),
    **dict.fromkeys((_aten.sym_size, _aten.sym_numel), _size),
    _aten._fft_r2c: _r2c,
    _aten._fft_c2c: _c2c,
    _aten._fft_c2r: _c2r,
    _aten.eq: _compared(_aten.logical_and.default),
    _aten.ne: _compared(_aten.logical_or.default),
    _aten.isnan: _compared(_aten.logical_or.default),
    _aten.isinf: _compared(_aten.logical_or.default),
    _aten.isfinite: _compared(_aten.logical_and.default),
    _aten.linalg_vector_norm: _norm,
    _aten._assert_tensor_metadata: _dropped,
}

# Where the overloads of one name differ in what they do.
_OVERLOADS: Mapping[Any, Rule] = {_aten.view.dtype: _view_dtype, close: _close}
