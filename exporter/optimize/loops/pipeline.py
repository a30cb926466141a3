"""Moves out of every `Scan` what need not be computed step by step: it is computed once, or for all steps at once.

Works in place, at opset 18, on graphs whose initializers lie in the main graph and whose values have shapes. Inner
loops come first, so that what leaves them can leave the loop around them too.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...spec.signature import Signature
from ..places import is_graph, layer_of
from .after import batch_after_loop
from .before import batch_before_loop
from .concat import split_products
from .constants import fold
from .gemm import join_gemms, part_gemms
from .invariants import move_invariants
from .loop import ScanLoop
from .one_hot import one_hot_to_gather
from .parts import split_matmuls
from .sums import reassociate_adds
from .unused import drop_unread, drop_unused


def hoist_loops(model: ir.Model, signature: Signature) -> None:
    """Make every loop's body as small as it can be, and write what is left as `Gemm`."""
    loops = [ScanLoop(node, model.graph) for node in _scans(model.graph)]
    for loop in loops:
        _keep_layer_name(loop.node)
    part_gemms(loops)
    one_hot_to_gather(model.graph, signature)
    for loop in loops:
        split_products(loop)
        split_matmuls(loop.body, model.graph)
        reassociate_adds(loop)
        move_invariants(loop)
        drop_unread(loop)
        batch_before_loop(loop)
        batch_after_loop(loop)
        drop_unused(loop)
    one_hot_to_gather(model.graph, signature)
    split_matmuls(model.graph, model.graph)
    fold(model.graph)
    join_gemms(loops)
    RemoveUnusedNodesPass()(model)


def _scans(graph: ir.Graph) -> Iterator[ir.Node]:
    """All loops, inner ones first."""
    for node in graph:
        for attribute in filter(is_graph, node.attributes.values()):
            yield from _scans(attribute.as_graph())
        if node.op_type == "Scan" and node.domain == "":
            yield node


def _keep_layer_name(node: ir.Node) -> None:
    """States are named after all weights that a body reads, of which some are about to leave it."""
    node.name = layer_of(node)[0] if layer_of(node)[1] is None else node.name
