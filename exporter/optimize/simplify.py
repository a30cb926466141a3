"""Fold constants and apply the rewrite rules of onnxscript that keep the values.

Works in place. The rules that drop `x + 0` and `x * 1` are left out: they take 1e-8 for 0 and 1.00001 for 1, and lose
the epsilon that keeps a normalisation from dividing by zero. Afterwards all initializers lie in the main graph.
"""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript import rewriter
from onnxscript.optimizer import _constant_folding as folding
from onnxscript.rewriter.rules.common import _no_op

from ..pytorch.run import suppress_output

_ROUNDS = 2


def simplify(model: ir.Model) -> None:
    """Inline functions, fold constants, apply the rules, and store equal initializers once."""
    with suppress_output():
        _passes()(model)


def _passes() -> ir.passes.Sequential:
    rules = [rule for rule in rewriter._DEFAULT_REWRITE_RULES if rule not in [*_no_op.rules]]
    return ir.passes.Sequential(
        common.InlinePass(),
        ir.passes.PassManager(
            [
                folding.FoldConstantsPass(
                    shape_inference=True,
                    input_size_limit=folding.DEFAULT_CONSTANT_FOLD_INPUT_SIZE_LIMIT,
                    output_size_limit=folding.DEFAULT_CONSTANT_FOLD_OUTPUT_SIZE_LIMIT,
                    should_fold=_should_fold,
                ),
                rewriter.RewritePass(rules),
                common.RemoveUnusedNodesPass(),
                common.RemoveUnusedFunctionsPass(),  # type: ignore[no-untyped-call]
                common.RemoveUnusedOpsetsPass(),
            ],
            steps=_ROUNDS,
            early_stop=True,
        ),
        common.RemoveUnusedNodesPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.LiftSubgraphInitializersToMainGraphPass(),
        common.DeduplicateInitializersPass(),
        common.CommonSubexpressionEliminationPass(),
        common.OutputFixPass(),
        common.NameFixPass(),
    )


def _should_fold(node: ir.Node) -> bool | None:
    """No for the Transpose of a weight that others read, which would be stored twice; else as onnxscript decides."""
    shared = any(value is not None and value.is_initializer() and len(value.uses()) > 1 for value in node.inputs)
    return False if shared and node.op_type == "Transpose" else None
