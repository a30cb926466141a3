"""Translate loops that a value ends to ONNX's `Loop`: `while_loop`, and the one that collects what its steps put out.

PyTorch's own translation of `while_loop` cannot be inlined where one loop is in the body of another.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import onnx_ir as ir

from ..torch_internals.onnx import record

Operand = ir.Value | int | float


def translate_while_loop(
    condition: ir.Function, body: ir.Function, carried: Sequence[Operand], additional: Sequence[Operand]
) -> Sequence[ir.Value]:
    """The carries after the last step, of a loop whose condition is asked before each."""
    values, constants = _values(carried), _values(additional)
    begin = record(_call(condition, [*values, *constants])).outputs[0]
    inputs = _body_inputs(values, body.name)
    step = _call(body, [*inputs[2:], *constants])
    ask = _call(condition, [*step.outputs, *constants])
    return _loop(begin, values, inputs, [step, ask], [*ask.outputs, *step.outputs], body.name)


def translate_collecting_loop(
    body: ir.Function, go: ir.Value, carried: Sequence[Operand], additional: Sequence[Operand]
) -> Sequence[ir.Value]:
    """The carries after the last step, and what each step put out; the body says whether to go on."""
    values, constants = _values(carried), _values(additional)
    inputs = _body_inputs(values, body.name)
    step = _call(body, [*inputs[2:], *constants])
    return _loop(go, values, inputs, [step], step.outputs, body.name)


def _loop(
    begin: ir.Value,
    values: Sequence[ir.Value],
    inputs: Sequence[ir.Value],
    nodes: Sequence[ir.Node],
    outputs: Sequence[ir.Value],
    name: str,
) -> Sequence[ir.Value]:
    graph = ir.Graph(inputs, outputs, nodes=nodes, name=name)
    node = ir.node("Loop", [None, begin, *values], {"body": graph}, num_outputs=len(outputs) - 1)
    return record(node).outputs


def _body_inputs(values: Sequence[ir.Value], name: str) -> list[ir.Value]:
    """The number of the step and whether the loop goes on, neither of which is read, and the carries."""
    carries = [(f"carry_{i}", value.shape, value.dtype) for i, value in enumerate(values)]
    counters = [("step", ir.Shape([]), ir.DataType.INT64), ("going", ir.Shape([]), ir.DataType.BOOL)]
    return [
        ir.Value(name=f"{name}.{label}", shape=shape, type=None if dtype is None else ir.TensorType(dtype))
        for label, shape, dtype in [*counters, *carries]
    ]


def _call(function: ir.Function, inputs: Sequence[ir.Value]) -> ir.Node:
    node = ir.Node(function.domain, function.name, inputs, num_outputs=len(function.outputs), version=1)
    for i, (own, output) in enumerate(zip(function.outputs, node.outputs, strict=True)):
        output.name, output.type, output.shape = f"{function.name}.{i}", own.type, own.shape
    return node


def _values(operands: Sequence[Operand]) -> list[ir.Value]:
    return [operand if isinstance(operand, ir.Value) else _constant(operand) for operand in operands]


def _constant(number: Any) -> ir.Value:
    value = record(ir.node("Constant", [], {"value": ir.tensor(number)})).outputs[0]
    value.shape, value.type = ir.Shape([]), ir.TensorType(ir.tensor(number).dtype)
    return value
