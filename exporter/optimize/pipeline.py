"""The passes that every model goes through, in the order they run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import onnx_ir as ir
from onnx_ir.passes.common import IdentityEliminationPass, RemoveUnusedNodesPass

from ..spec.forms import Form
from ..spec.signature import Signature
from .linear.attention import lower_linear_attention, move_to_standard
from .linear.parallel import lower_parallel_forms
from .loops.pipeline import fuse_loops, optimize_loops
from .names import name_after
from .opset import convert_opset
from .select_state import select_state
from .simplify import simplify
from .transposed_products import move_transposes


def optimize(model: ir.Model, signature: Signature, opset: int, linear_attention: Form = "scan") -> bool:
    """Run the passes on a model, in place; returns whether a state is one of linear attention.

    Args:
        linear_attention: the form that such states are to have.

    Raises:
        CaptureError: the model cannot be written at `opset`.
    """
    _apply(model, (simplify, partial(optimize_loops, signature=signature)))
    found = lower_parallel_forms(model, signature, linear_attention)
    found |= lower_linear_attention(model, linear_attention)
    if found:  # an operator has other axes than the loop had: many a transpose undoes one of the model's own
        _apply(model, (IdentityEliminationPass(), simplify))
    _apply(model, _finishing(signature, opset, linear_attention))
    return found


def _finishing(signature: Signature, opset: int, linear_attention: Form) -> Sequence[Callable[[ir.Model], object]]:
    """Each works in place, on what the one before it left; those before `convert_opset` at opset 18."""
    return (
        fuse_loops,
        select_state,
        move_transposes,
        partial(convert_opset, opset=opset),
        *((move_to_standard,) if linear_attention == "standard" else ()),
        RemoveUnusedNodesPass(),
        partial(name_after, signature=signature),
    )


def _apply(model: ir.Model, passes: Sequence[Callable[[ir.Model], object]]) -> None:
    for apply in passes:
        apply(model)
