"""Rewrites on the ONNX IR, in the order they run."""

from __future__ import annotations

import onnx_ir as ir
import onnxscript.optimizer
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..quiet import quiet
from ..signature import Signature
from .metadata import describe
from .names import name_after
from .opset import NEWEST, OLDEST, check_opset, convert_opset
from .select_state import select_state
from .stateful import expose_states

__all__ = ["NEWEST", "OLDEST", "check_opset", "describe", "expose_states", "optimize"]


def optimize(model: ir.Model, signature: Signature, opset: int) -> None:
    """Fold constants, read states from their layers, drop what is unused, convert the opset, name everything; in place.

    Raises:
        CaptureError: the model cannot be written at `opset`.
    """
    with quiet():
        onnxscript.optimizer.optimize_ir(model, should_fold=_should_fold)
    select_state(model)
    convert_opset(model, opset)
    RemoveUnusedNodesPass()(model)
    name_after(model, signature)


def _should_fold(node: ir.Node) -> bool | None:
    """No for a weight that is used elsewhere too, which would then be stored twice; else as the optimizer likes."""
    shared = any(value is not None and value.is_initializer() and len(value.uses()) > 1 for value in node.inputs)
    return False if shared and node.op_type == "Transpose" else None
