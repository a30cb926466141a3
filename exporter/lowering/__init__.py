"""Recurrence to ONNX: translate what PyTorch knows, then lower each recurrent stack to standard operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import onnx_ir as ir
from torch.export import ExportedProgram

from ..capture.operators import DOMAIN
from .native import lower_native
from .ragged import Padded, Ragged
from .scan import lower_scan
from .stack import Stack, read_stack
from .translate import OPSET, translate

__all__ = ["OPSET", "lower"]


def lower(program: ExportedProgram, quantize: str | None = None) -> ir.Model:
    """The ONNX model of a captured program, at opset `OPSET`, in standard operators only.

    Args:
        quantize: "int8" takes the forms whose products can be quantized.

    Raises:
        CaptureError: an operator has no ONNX form, or a recurrent layer's weights are not constants.
    """
    model = translate(program)
    tape = ir.tape.Tape()
    ragged: dict[ir.Graph, Ragged] = {}
    for node in [node for node in ir.traversal.RecursiveGraphIterator(model.graph) if node.domain == DOMAIN]:
        assert isinstance(node.graph, ir.Graph)
        _replace(node.graph, node, tape, ragged.setdefault(node.graph, Ragged(tape)), quantize)
    if model.graph in ragged:
        ragged[model.graph].name_sizes(model.graph)
    _drop_unused_initializers(model.graph)
    for value in tape.initializers:
        while value.name in model.graph.initializers:
            value.name = f"{value.name}_"
        model.graph.register_initializer(value)
    model.opset_imports.pop(DOMAIN, None)
    return model


def _replace(graph: ir.Graph, node: ir.Node, tape: ir.tape.Tape, ragged: Ragged, quantize: str | None) -> None:
    before = len(tape.nodes)
    lowering = {"pack": ragged.pack, "pad": ragged.pad}.get(node.op_type)
    values = _recurrence(node, tape, ragged, quantize) if lowering is None else lowering(node)
    for old, new in zip(node.outputs, values, strict=True):
        new.type, new.shape = old.type, old.shape
    graph.insert_before(node, tape.nodes[before:])
    ir.convenience.replace_all_uses_with(node.outputs, values, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _recurrence(node: ir.Node, tape: ir.tape.Tape, ragged: Ragged, quantize: str | None) -> list[ir.Value]:
    """What takes a stack's place: over packed data, y is packed again."""
    stack = read_stack(node)
    lengths = stack.lengths
    if lengths is None:
        return _lowering(stack, quantize)(stack, tape)
    padded = replace(stack, x=ragged.padded(stack.x, lengths).value)
    y, *finals = _lowering(padded, quantize)(padded, tape)
    return [ragged.packed(Padded(y, is_zero_beyond=True), lengths), *finals]


def _lowering(stack: Stack, quantize: str | None) -> Callable[[Stack, ir.tape.Tape], list[ir.Value]]:
    """Native operators wherever they will do."""
    # ONNX's LSTM has no projection. ONNX Runtime 1.32 has no float64 kernel for RNN, and its GRU and LSTM raise "does
    # not support double yet", while all that a Scan is made of runs in float64.
    # Of the native operators the LSTM alone has a form with int8 weights.
    unquantizable = quantize is not None and stack.kind != "lstm"
    is_scan = stack.is_projected or stack.dtype == ir.DataType.DOUBLE or unquantizable
    return lower_scan if is_scan else lower_native


def _drop_unused_initializers(graph: ir.Graph) -> None:
    for name, value in list(graph.initializers.items()):
        if not value.uses() and not value.is_graph_output():
            del graph.initializers[name]
