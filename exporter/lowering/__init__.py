"""Recurrence to ONNX: translate what PyTorch knows, then lower each recurrent stack to standard operators."""

from __future__ import annotations

from collections.abc import Callable

import onnx_ir as ir
from torch.export import ExportedProgram

from ..capture.operators import DOMAIN
from .native import lower_native
from .scan import lower_scan
from .stack import Stack, is_stack, read_stack
from .translate import OPSET, translate

__all__ = ["OPSET", "lower"]


# Which lowering a precision takes, if not the native one. ONNX Runtime 1.32 has no float64 kernel for RNN, and its GRU
# and LSTM raise "does not support double yet", while all that a Scan is made of runs in float64.
_LOWERINGS: dict[ir.DataType | None, Callable[[Stack, ir.tape.Tape], list[ir.Value]]] = {ir.DataType.DOUBLE: lower_scan}


def lower(program: ExportedProgram) -> ir.Model:
    """The ONNX model of a captured program, at opset `OPSET`, in standard operators only.

    Raises:
        CaptureError: an operator has no ONNX form, or a recurrent layer's weights are not constants.
    """
    model = translate(program)
    tape = ir.tape.Tape()
    for node in [node for node in ir.traversal.RecursiveGraphIterator(model.graph) if is_stack(node)]:
        assert isinstance(node.graph, ir.Graph)
        _replace(node.graph, node, tape)
    _drop_unused_initializers(model.graph)
    for value in tape.initializers:
        while value.name in model.graph.initializers:
            value.name = f"{value.name}_"
        model.graph.register_initializer(value)
    model.opset_imports.pop(DOMAIN, None)
    return model


def _replace(graph: ir.Graph, node: ir.Node, tape: ir.tape.Tape) -> None:
    before = len(tape.nodes)
    stack = read_stack(node)
    values = _LOWERINGS.get(stack.dtype, lower_native)(stack, tape)
    for old, new in zip(node.outputs, values, strict=True):
        new.type, new.shape = old.type, old.shape
    graph.insert_before(node, tape.nodes[before:])
    ir.convenience.replace_all_uses_with(node.outputs, values, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _drop_unused_initializers(graph: ir.Graph) -> None:
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
