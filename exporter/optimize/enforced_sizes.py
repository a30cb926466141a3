"""Have the file itself refuse an input whose size does not follow from the others, such as a waveform of 12*(T-4).

Works in place, as one of the last passes. What is refused is where the size and the one that is computed differ.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping

import onnx_ir as ir

from ..spec.signature import Signature
from ..spec.size_expression import names_in, slope_and_offset
from .bounds import constant, refuse_unless_zero


def enforce_following_sizes(model: ir.Model, signature: Signature) -> None:
    """Make the graph raise where a size is not what the signature says that it follows from."""
    inputs = dict(zip(signature.inputs, model.graph.inputs, strict=False))
    for name, spec in signature.inputs.items():
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, str) and dim in spec.derived and inputs[name].uses():
                _enforce(model.graph, signature, inputs, name, axis)


def _enforce(graph: ir.Graph, signature: Signature, inputs: Mapping[str, ir.Value], name: str, axis: int) -> None:
    dim = str(signature.inputs[name].shape[axis])
    writer = _Writer(ir.tape.Tape(), f"{name}.{axis}")
    sizes = {each: _size(writer, signature, inputs, each) for each in names_in(dim)}
    wanted = writer.value(ast.parse(dim, mode="eval").body, sizes)
    difference = writer.op("Abs", [writer.op("Sub", [writer.size(inputs[name], axis), wanted])])
    refuse_unless_zero(graph, writer.tape, inputs[name], difference, f"{name}.{axis}", f"{name} has a size of {dim}")


def _size(writer: _Writer, signature: Signature, inputs: Mapping[str, ir.Value], name: str) -> ir.Value:
    """The size of a name: that of the input that has it, or what a line of it comes from, rounded down."""
    for each, spec in signature.inputs.items():
        if name in spec.shape:
            return writer.size(inputs[each], spec.shape.index(name))
    each, spec, dim, line = next(
        (each, spec, dim, line)
        for each, spec in signature.inputs.items()
        for dim in spec.derived
        if names_in(dim) == (name,) and (line := slope_and_offset(dim)) is not None
    )
    slope, offset = line
    given = writer.size(inputs[each], spec.shape.index(dim))
    return writer.floor_divide(writer.op("Sub", [given, writer.number(offset)]), writer.number(slope))


class _Writer:
    """Writes int64[1] values, named after what they are for."""

    def __init__(self, tape: ir.tape.Tape, prefix: str) -> None:
        self.tape, self._prefix, self._count = tape, prefix, 0

    def op(self, op_type: str, inputs: list[ir.Value], attributes: dict[str, int] | None = None) -> ir.Value:
        value = self.tape.op(op_type, inputs, attributes or {})
        value.name = self._name()
        return value

    def size(self, value: ir.Value, axis: int) -> ir.Value:
        return self.op("Shape", [value], {"start": axis, "end": axis + 1})

    def number(self, number: int) -> ir.Value:
        return constant(self.tape, self._name(), number)

    def floor_divide(self, a: ir.Value, b: ir.Value) -> ir.Value:
        """ONNX's `Div` rounds towards zero."""
        return self.op("Div", [self.op("Sub", [a, self.op("Mod", [a, b])]), b])

    def value(self, node: ast.expr, sizes: Mapping[str, ir.Value]) -> ir.Value:
        if isinstance(node, ast.Name):
            return sizes[node.id]
        if not isinstance(node, ast.BinOp):
            assert isinstance(node, ast.Constant)
            return self.number(int(str(node.value)))
        left, right = self.value(node.left, sizes), self.value(node.right, sizes)
        if isinstance(node.op, ast.FloorDiv):
            return self.floor_divide(left, right)
        return self.op({ast.Add: "Add", ast.Sub: "Sub", ast.Mult: "Mul"}[type(node.op)], [left, right])

    def _name(self) -> str:
        self._count += 1
        return f"{self._prefix}.follows.{self._count}"
