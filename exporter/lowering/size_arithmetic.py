"""ONNX forms of Python's `//` and `round` of numbers that are computed from sizes: PyTorch's divide toward zero."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

import onnx_ir as ir
from onnxscript import opset18 as op
from torch import SymInt
from torch.export import ExportedProgram
from torch.fx import Node

from ..torch_internals.symbols import least_of


def _round(x: Any, _digits: None = None) -> Any:
    """To the even one from the middle between two, as in Python."""
    return op.Cast(op.Round(x), to=ir.DataType.INT64.value)


SIZE_ARITHMETIC: Mapping[Callable[..., Any], Callable[..., Any]] = {round: _round}


def divide_down(program: ExportedProgram) -> None:
    """Have each quotient of whole numbers that may be negative be one without a rest: ONNX divides toward zero."""
    graph = program.graph
    for node in list(graph.nodes):
        if node.op != "call_function" or node.target is not operator.floordiv or not _may_be_negative(node):
            continue
        above, below = node.args
        with graph.inserting_before(node):
            rest = graph.call_function(operator.mod, (above, below))
            whole = graph.call_function(operator.sub, (above, rest))
        rest.meta["val"] = _value(above) % _value(below)
        whole.meta["val"] = _value(above) - rest.meta["val"]
        node.args = (whole, below)


def _may_be_negative(node: Node) -> bool:
    return any(isinstance(value, SymInt) and least_of(value) < 0 for value in map(_value, node.args))


def _value(arg: Any) -> Any:
    return arg.meta["val"] if isinstance(arg, Node) else arg
