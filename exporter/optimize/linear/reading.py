"""Read the body of a loop as sums of products of its states, of sequences, and of values from outside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import onnx_ir as ir

from ..graph import array_of
from ..loops.scan_loop import ScanLoop, is_made_in
from .algebra import TIME, Expression, add, contract, multiply, number, tensor
from .outside import move_units, product_of

Sizes = tuple[int | ir.SymbolicDim, ...]


class Reading:
    """The expressions of a body's values, each read when it is asked for; None for what is no sum of products."""

    def __init__(self, loop: ScanLoop, tensors: Sequence[ir.Value]) -> None:
        self._loop = loop
        self._read: dict[ir.Value, Expression | None] = {
            value: None if value.shape is None else tensor(value, tuple(value.shape)) for value in tensors
        }

    def of(self, value: ir.Value | None) -> Expression | None:
        if value is None:
            return None
        if value not in self._read:
            self._read[value] = self._new(value)
        found = self._read[value]
        return None if found is None else found

    def of_node(self, node: ir.Node) -> Expression | None:
        """The output of a node of the body, from its inputs."""
        rule = _RULES.get(node.op_type) if node.domain == "" else None
        return None if rule is None else rule(node, self)

    def _new(self, value: ir.Value) -> Expression | None:
        node = value.producer()
        if value in self._loop.elements:
            return self._element([*self._loop.elements].index(value))
        if not is_made_in(self._loop.body, value):
            return None if value.shape is None else _outside(value, tuple(value.shape))
        return None if node is None else self.of_node(node)

    def _element(self, k: int) -> Expression | None:
        element, outer = self._loop.elements[k], self._loop.node.inputs[self._loop.num_states + k]
        if element.shape is None or outer is None:
            return None
        at = self._loop.input_axes[k] % (element.shape.rank() + 1)
        return _outside(outer, tuple(element.shape), time=at)


def _outside(value: ir.Value, sizes: Sizes, time: int | None = None) -> Expression:
    """A value from outside, or the element of a sequence that has time as its axis `time`."""
    plain = tensor(value, sizes)
    axes = plain.axes if time is None else (*plain.axes[:time], TIME, *plain.axes[time:])
    return Expression(plain.axes, (product_of(value, axes),))


def _same(node: ir.Node, reading: Reading) -> Expression | None:
    value = node.inputs[0]
    kept = node.op_type != "Cast" or (value is not None and value.dtype == node.outputs[0].dtype)
    return reading.of(value) if kept else None


def _sum(node: ir.Node, reading: Reading) -> Expression | None:
    left, right = map(reading.of, node.inputs)
    return None if left is None or right is None else add(left, right)


def _difference(node: ir.Node, reading: Reading) -> Expression | None:
    left, right = map(reading.of, node.inputs)
    return None if left is None or right is None else add(left, right.times(-1.0))


def _negative(node: ir.Node, reading: Reading) -> Expression | None:
    value = reading.of(node.inputs[0])
    return None if value is None else value.times(-1.0)


def _product(node: ir.Node, reading: Reading) -> Expression | None:
    left, right = map(reading.of, node.inputs)
    return None if left is None or right is None else multiply(left, right)


def _quotient(node: ir.Node, reading: Reading) -> Expression | None:
    divisor, value = array_of(node.inputs[1]), reading.of(node.inputs[0])
    if value is None or divisor is None or divisor.size != 1 or not float(divisor.reshape(())):
        return None
    return multiply(value, number(1.0 / float(divisor.reshape(())), divisor.ndim))


def _matmul(node: ir.Node, reading: Reading) -> Expression | None:
    left, right = map(reading.of, node.inputs)
    if left is None or right is None:
        return None
    rows, columns = len(left.axes) > 1, len(right.axes) > 1  # a vector has neither, and its result no axis for it
    lead = [f"b{at}" for at in range(max(len(left.axes), len(right.axes)) - 2)]
    first = [*lead[len(lead) + 2 - len(left.axes) :], "i", "k"] if rows else ["k"]
    second = [*lead[len(lead) + 2 - len(right.axes) :], "k", "j"] if columns else ["k"]
    return contract([left, right], [first, second], [*lead, *(["i"] if rows else []), *(["j"] if columns else [])])


def _gemm(node: ir.Node, reading: Reading) -> Expression | None:
    given = [reading.of(value) for value in node.inputs]
    attributes = node.attributes
    letters = ["ki" if attributes.get_int("transA", 0) else "ik", "jk" if attributes.get_int("transB", 0) else "kj"]
    if given[0] is None or given[1] is None:
        return None
    result = contract([given[0], given[1]], letters, "ij")
    if result is None or len(given) < 3 or node.inputs[2] is None:
        return None if result is None else result.times(attributes.get_float("alpha", 1.0))
    if given[2] is None:
        return None
    return add(result.times(attributes.get_float("alpha", 1.0)), given[2].times(attributes.get_float("beta", 1.0)))


def _einsum(node: ir.Node, reading: Reading) -> Expression | None:
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    before, arrow, after = equation.partition("->")
    given = [reading.of(value) for value in node.inputs]
    operands = [each for each in given if each is not None]
    if "." in equation or not arrow or len(operands) < len(given):
        return None
    return contract(operands, before.split(","), after)


def _reduce_sum(node: ir.Node, reading: Reading) -> Expression | None:
    value, axes = reading.of(node.inputs[0]), array_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if value is None or axes is None or not axes.size:
        return None
    full = len(value.axes)
    return value.summed(
        [int(axis) % full for axis in axes.reshape(-1)], keep=bool(node.attributes.get_int("keepdims", 1))
    )


def _transpose(node: ir.Node, reading: Reading) -> Expression | None:
    value = reading.of(node.inputs[0])
    if value is None:
        return None
    order = node.attributes.get_ints("perm", None) or [*reversed(range(len(value.axes)))]
    return Expression(tuple(value.axes[at] for at in order), value.terms)


def _units(node: ir.Node, reading: Reading) -> Expression | None:
    """Squeeze, Unsqueeze and Reshape where all that they do is to put axes of length 1 elsewhere."""
    value = reading.of(node.inputs[0])
    axes = None if value is None else move_units(node.inputs[0], node.outputs[0], value.axes)
    return None if value is None or axes is None else Expression(axes, value.terms)


def _expand(node: ir.Node, reading: Reading) -> Expression | None:
    value, result = reading.of(node.inputs[0]), node.outputs[0]
    if value is None or result.shape is None:
        return None
    wide = Expression(tensor(result, tuple(result.shape)).axes, ())
    return Expression(add(value, wide).axes, value.terms)


_RULES: Mapping[str, Callable[[ir.Node, Reading], Expression | None]] = {
    "Identity": _same,
    "Cast": _same,
    "Add": _sum,
    "Sub": _difference,
    "Neg": _negative,
    "Mul": _product,
    "Div": _quotient,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Einsum": _einsum,
    "ReduceSum": _reduce_sum,
    "Transpose": _transpose,
    "Squeeze": _units,
    "Unsqueeze": _units,
    "Reshape": _units,
    "Expand": _expand,
}
