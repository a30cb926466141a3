"""Build the finished ONNX graph of a translated program: lower, optimize, expose states, quantize, describe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import onnx_ir as ir

from ..errors import InputError
from ..optimize.metadata import describe
from ..optimize.pipeline import optimize
from ..optimize.quantization import Original, quantize_weights
from ..optimize.single_step import add_single_step
from ..optimize.stateful import expose_states
from ..spec.forms import Forms, unrolls
from ..spec.signature import Signature
from ..spec.streams import StreamSpec
from .forms import forms_of
from .lower import lower


@dataclass(frozen=True)
class OnnxGraph:
    """A graph ready to be written, the form of each kind of layer in it, and its stream if it has one.

    `scan_only` are the layers that ONNX has no operator for, by name, each with the reason. `quantized` are the
    original weights of int8 tensors, by the tensors' names.
    """

    model: ir.Model
    forms: Forms
    scan_only: Mapping[str, str]
    stream: StreamSpec | None
    quantized: Mapping[str, Original]

    def without_weights(self) -> OnnxGraph:
        """Let go of the weights: what is written is in memory a second time, and rewrite rules hold on to the graph."""
        for value in self.model.graph.initializers.values():
            value.const_value = None
        return replace(self, quantized={})


def build_graph(
    translated: ir.Model, signature: Signature, forms: Forms, opset: int, stateful: bool, int8: bool
) -> OnnxGraph:
    """The graph of a translated program, which is not changed, with layers in these forms.

    Raises:
        CaptureError: an operator has no form at `opset`, or a stateful model cannot be fed in chunks.
        InputError: a kind of layer has no int8 weights in its form, or the model has no weights to store as int8.
    """
    lowered = lower(translated, forms)
    optimize(lowered.model, signature, opset)
    stream = expose_states(lowered.model, signature) if stateful else None
    if stream is not None and unrolls(lowered.forms):
        add_single_step(lowered.model, signature, stream.time)
    quantized = _quantize(lowered.model, lowered.forms) if int8 else {}
    describe(lowered.model, signature, stream)
    return OnnxGraph(lowered.model, lowered.forms, lowered.scan_only, stream, quantized)


def _quantize(model: ir.Model, forms: Forms) -> Mapping[str, Original]:
    for kind, form in forms.items():
        if form not in forms_of(kind, int8=True):
            raise InputError(
                f"ONNX Runtime has no {kind[:3].upper()} operator with int8 weights. "
                "Leave out lowering='native' or quantize."
            )
    quantized = quantize_weights(model)
    if not quantized:
        raise InputError("The model has no float32 weights to store as int8. Leave out quantize.")
    return quantized
