"""The passes that shrink the body of every `Scan`, in the order they run: see the package for a before and after.

They work in place, at opset 18, on graphs whose initializers lie in the main graph and whose values have shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...spec.signature import Signature
from ..fold_constants import fold_constants
from ..graph import subgraphs
from ..one_hot import one_hot_to_gather
from ..recurrent_states import layer_of
from .batching import batch_after_loop, batch_before_loop
from .gemm import fuse_gemms, reassociate_adds, split_gemms
from .invariants import move_invariants, remove_unread, remove_unused
from .products import split_concat_products, split_matmuls
from .scan_loop import ScanLoop

_LOOP_PASSES: Sequence[Callable[[ScanLoop], None]] = (
    split_concat_products,
    lambda loop: split_matmuls(loop.body, loop.main),
    reassociate_adds,
    move_invariants,
    remove_unread,
    batch_before_loop,
    batch_after_loop,
    remove_unused,
)


def optimize_loops(model: ir.Model, signature: Signature) -> None:
    """Move out of every loop what need not run in every step, and write what stays as `Gemm`.

    Inner loops come first, so that what leaves them can leave the loop around them too.
    """
    loops = [ScanLoop(node, model.graph) for node in _scans(model.graph)]
    for loop in loops:
        _keep_layer_name(loop.node)
    for loop in loops:
        split_gemms(loop)
    one_hot_to_gather(model.graph, signature)
    for loop in loops:
        for apply in _LOOP_PASSES:
            apply(loop)
    one_hot_to_gather(model.graph, signature)
    split_matmuls(model.graph, model.graph)
    fold_constants(model.graph)
    for loop in loops:
        fuse_gemms(loop)
    RemoveUnusedNodesPass()(model)


def _scans(graph: ir.Graph) -> Iterator[ir.Node]:
    """All loops, inner ones first."""
    for node in graph:
        for body in subgraphs(node):
            yield from _scans(body)
        if node.op_type == "Scan" and node.domain == "":
            yield node


def _keep_layer_name(node: ir.Node) -> None:
    """Name a loop after its layer now: the name comes from the weights that its body reads, and some will leave it."""
    layer, index = layer_of(node)
    if index is None:
        node.name = layer
