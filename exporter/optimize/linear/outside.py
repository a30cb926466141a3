"""What a value outside a loop is a product of: transposes and axes of length 1 are seen through.

Unsqueeze(Transpose(Mul(k, beta), [1, 0, 2]), 3)    is    k beta    with time where k itself has it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import onnx_ir as ir

from ..graph import array_of
from .algebra import Axis, Factor, Term


def product_of(value: ir.Value, axes: tuple[Axis, ...]) -> Term:
    """The product that a value is, given what its axes are called."""
    constant = array_of(value)
    if constant is not None and constant.size == 1:
        return Term(float(constant.reshape(())), ())
    node = value.producer()
    rule = _RULES.get(node.op_type) if node is not None and node.domain == "" else None
    seen = rule(node, axes) if rule is not None and node is not None else None
    return Term(1.0, (Factor(value, axes),)) if seen is None else seen


def _joined(*terms: Term) -> Term:
    number, factors = 1.0, list[Factor]()
    for term in terms:
        number, factors = number * term.number, [*factors, *term.factors]
    return Term(number, tuple(factors))


def _sizes(value: ir.Value | None) -> tuple[int | ir.SymbolicDim, ...] | None:
    return None if value is None or value.shape is None else tuple(value.shape)


def _through(node: ir.Node, at: int, axes: tuple[Axis, ...]) -> Term | None:
    """The product that an input is, whose axes are aligned with the node's at their ends."""
    value, sizes = node.inputs[at], _sizes(node.inputs[at])
    if value is None or sizes is None or len(sizes) > len(axes):
        return None
    own = axes[len(axes) - len(sizes) :]
    return product_of(value, tuple(None if size == 1 else axis for size, axis in zip(sizes, own, strict=True)))


def _same(node: ir.Node, axes: tuple[Axis, ...]) -> Term | None:
    return _through(node, 0, axes)


def _cast(node: ir.Node, axes: tuple[Axis, ...]) -> Term | None:
    value = node.inputs[0]
    return _same(node, axes) if value is not None and value.dtype == node.outputs[0].dtype else None


def _negative(node: ir.Node, axes: tuple[Axis, ...]) -> Term | None:
    term = _same(node, axes)
    return None if term is None else _joined(term, Term(-1.0, ()))


def _product(node: ir.Node, axes: tuple[Axis, ...]) -> Term | None:
    left, right = _through(node, 0, axes), _through(node, 1, axes)
    return None if left is None or right is None else _joined(left, right)


def _quotient(node: ir.Node, axes: tuple[Axis, ...]) -> Term | None:
    divisor, term = array_of(node.inputs[1]), _through(node, 0, axes)
    if divisor is None or divisor.size != 1 or term is None or not float(divisor.reshape(())):
        return None
    return _joined(term, Term(1.0 / float(divisor.reshape(())), ()))


def _transpose(node: ir.Node, axes: tuple[Axis, ...]) -> Term | None:
    order = list(node.attributes.get_ints("perm", None) or reversed(range(len(axes))))
    value = node.inputs[0]
    return None if value is None else product_of(value, tuple(axes[order.index(at)] for at in range(len(order))))


def _units(node: ir.Node, axes: tuple[Axis, ...]) -> Term | None:
    """Squeeze, Unsqueeze and Reshape where all that they do is to put axes of length 1 elsewhere."""
    value = node.inputs[0]
    moved = move_units(node.outputs[0], value, axes)
    return None if value is None or moved is None else product_of(value, moved)


def move_units(old: ir.Value | None, new: ir.Value | None, axes: tuple[Axis, ...]) -> tuple[Axis, ...] | None:
    """The axes of one value, given those of another that differs in axes of length 1 alone; None if it does not."""
    if old is None or new is None or old.shape is None or new.shape is None or len(axes) != old.shape.rank():
        return None
    kept = [(size, axis) for size, axis in zip(old.shape, axes, strict=True) if size != 1]
    left = [size for size in new.shape if size != 1]
    if len(kept) != len(left) or not all(_may_be_same(a, b) for (a, _), b in zip(kept, left, strict=True)):
        return None
    rest = iter(axis for _, axis in kept)
    return tuple(None if size == 1 else next(rest) for size in new.shape)


def _may_be_same(a: int | ir.SymbolicDim, b: int | ir.SymbolicDim) -> bool:
    return a == b or any(isinstance(size, ir.SymbolicDim) and size.value is None for size in (a, b))


_RULES: Mapping[str, Callable[[ir.Node, tuple[Axis, ...]], Term | None]] = {
    "Identity": _same,
    "Cast": _cast,
    "Neg": _negative,
    "Mul": _product,
    "Div": _quotient,
    "Transpose": _transpose,
    "Squeeze": _units,
    "Unsqueeze": _units,
    "Reshape": _units,
}
