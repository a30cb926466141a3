"""Rewrites on the ONNX IR, in the order they run."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..pytorch.suppress import suppress_output
from ..spec.signature import Signature
from .loops.pipeline import optimize_loops
from .names import name_after
from .opset import convert_opset
from .select_state import select_state
from .simplify import simplify
from .transposed_products import move_transposes


def optimize(model: ir.Model, signature: Signature, opset: int) -> None:
    """Fold constants, empty loops, read states from layers, move transposes, drop the unused, convert, name; in place.

    Raises:
        CaptureError: the model cannot be written at `opset`.
    """
    with suppress_output():
        simplify(model)
    optimize_loops(model, signature)
    select_state(model)
    move_transposes(model)
    convert_opset(model, opset)
    RemoveUnusedNodesPass()(model)
    name_after(model, signature)
