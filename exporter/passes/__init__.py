"""Rewrites on the ONNX IR, in the order they run."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..quiet import quiet
from ..signature import Signature
from .hoisting import hoist_loops
from .metadata import describe
from .names import name_after
from .opset import NEWEST, OLDEST, check_opset, convert_opset
from .quantization import quantize_weights
from .select_state import select_state
from .simplify import simplify
from .single_step import add_single_step
from .stateful import expose_states
from .transposed_products import move_transposes

__all__ = [
    "NEWEST",
    "OLDEST",
    "add_single_step",
    "check_opset",
    "describe",
    "expose_states",
    "optimize",
    "quantize_weights",
]


def optimize(model: ir.Model, signature: Signature, opset: int) -> None:
    """Fold constants, empty loops, read states from layers, move transposes, drop the unused, convert, name; in place.

    Raises:
        CaptureError: the model cannot be written at `opset`.
    """
    with quiet():
        simplify(model)
    hoist_loops(model, signature)
    select_state(model)
    move_transposes(model)
    convert_opset(model, opset)
    RemoveUnusedNodesPass()(model)
    name_after(model, signature)
