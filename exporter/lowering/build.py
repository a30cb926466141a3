"""From a translated program to the finished ONNX graph: lowered, optimized, states exposed, quantized, described."""

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
    """A graph that can be written, the form of each kind of layer in it, and how it is fed in chunks if it can be.

    `bound` are the layers that had no choice, by name, with why. `quantized` are the weights that int8 tensors stand
    for, by the tensors' names.
    """

    model: ir.Model
    forms: Forms
    bound: Mapping[str, str]
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
    """The graph of a translated program, which stays as it is, with layers in those forms.

    Raises:
        CaptureError: an operator has no form at `opset`, or a stateful model cannot be fed in chunks.
        InputError: a layer in its form, or the whole model, has no weights that int8 could stand for.
    """
    lowered = lower(translated, forms)
    optimize(lowered.model, signature, opset)
    stream = expose_states(lowered.model, signature) if stateful else None
    if stream is not None and unrolls(lowered.forms):
        add_single_step(lowered.model, signature, stream.time)
    quantized = _quantize(lowered.model, lowered.forms) if int8 else {}
    describe(lowered.model, signature, stream)
    return OnnxGraph(lowered.model, lowered.forms, lowered.bound, stream, quantized)


def _quantize(model: ir.Model, forms: Forms) -> Mapping[str, Original]:
    for kind, form in forms.items():
        if form not in forms_of(kind, int8=True):
            raise InputError(
                f"ONNX Runtime has no {kind[:3].upper()} operator with int8 weights. "
                "Leave out --lowering native, or --quantize."
            )
    quantized = quantize_weights(model)
    if not quantized:
        raise InputError("The model has no float32 weights that int8 could stand for. Leave --quantize out.")
    return quantized
