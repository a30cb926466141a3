"""Recurrence to ONNX: translate what PyTorch knows, then lower each recurrent stack to standard operators."""

from __future__ import annotations

import onnx_ir as ir
from torch.export import ExportedProgram

from .native import lower_native
from .stack import is_stack, read_stack
from .translate import OPSET, translate

__all__ = ["OPSET", "lower"]


def lower(program: ExportedProgram) -> ir.Model:
    """The ONNX model of a captured program, at opset `OPSET`, in standard operators only.

    Raises:
        CaptureError: an operator has no ONNX form, or a recurrent layer's weights are not constants.
    """
    model = translate(program)
    tape = ir.tape.Tape()
    for node in [node for node in model.graph if is_stack(node)]:
        _replace(model.graph, node, tape)
    _drop_unused_initializers(model.graph)
    for value in tape.initializers:
        while value.name in model.graph.initializers:
            value.name = f"{value.name}_"
        model.graph.register_initializer(value)
    model.opset_imports.pop("rnn_export", None)
    return model


def _replace(graph: ir.Graph, node: ir.Node, tape: ir.tape.Tape) -> None:
    before = len(tape.nodes)
    values = lower_native(read_stack(node), tape)
    graph.insert_before(node, tape.nodes[before:])
    ir.convenience.replace_all_uses_with(node.outputs, values, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _drop_unused_initializers(graph: ir.Graph) -> None:
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
