"""From a translated program to the finished ONNX graph: lowered, optimized, its states exposed, described."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx_ir as ir

from .lowering import lower
from .passes import describe, expose_states, optimize
from .signature import Signature
from .states import Stream
from .targets import Forms


@dataclass(frozen=True)
class Finished:
    """A graph that can be written, the form of each kind of layer in it, and how it is fed in chunks if it can be.

    `bound` are the layers that had no choice, by name, with why.
    """

    model: ir.Model
    forms: Forms
    bound: Mapping[str, str]
    stream: Stream | None


def finish(translated: ir.Model, signature: Signature, forms: Forms, opset: int, stateful: bool) -> Finished:
    """The graph of a translated program, which stays as it is, with layers in those forms.

    Raises:
        CaptureError: an operator has no form at `opset`, or a stateful model cannot be fed in chunks.
    """
    lowered = lower(translated, forms)
    optimize(lowered.model, signature, opset)
    stream = expose_states(lowered.model, signature) if stateful else None
    describe(lowered.model, signature, stream)
    return Finished(lowered.model, lowered.forms, lowered.bound, stream)
