"""The passes that every model goes through, in the order they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ..spec.signature import Signature
from .loops.pipeline import optimize_loops
from .names import name_after
from .opset import convert_opset
from .select_state import select_state
from .simplify import simplify
from .transposed_products import move_transposes


def passes(signature: Signature, opset: int) -> Sequence[Callable[[ir.Model], object]]:
    """Each works in place, on what the one before it left; those before `convert_opset` at opset 18."""
    return (
        simplify,
        partial(optimize_loops, signature=signature),
        select_state,
        move_transposes,
        partial(convert_opset, opset=opset),
        RemoveUnusedNodesPass(),
        partial(name_after, signature=signature),
    )


def optimize(model: ir.Model, signature: Signature, opset: int) -> None:
    """Run the passes on a model, in place.

    Raises:
        CaptureError: the model cannot be written at `opset`.
    """
    for apply in passes(signature, opset):
        apply(model)
