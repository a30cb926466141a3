"""The passes that shrink the body of every `Scan`, in the order they run: see the package for a before and after.

They work in place, at opset 18, on graphs whose initializers lie in the main graph and whose values have shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...spec.signature import Signature
from ..graph import fold_constants, subgraphs
from ..one_hot import one_hot_to_gather
from ..recurrent_states import layer_of
from .batching import batch_after_loop, batch_before_loop
from .expands import drop_expands
from .gemm import fuse_gemms, reassociate_adds, split_gemms
from .products import split_concat_products, split_matmuls
from .scan_loop import Origin, ScanLoop

# Operators that give another result each time they run (ONNX operator specification).
_RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}


def move_invariants(loop: ScanLoop) -> None:
    """Move nodes that depend neither on states nor on elements before the loop; their sizes do not change either."""
    for node in list(loop.body):
        _read_size_outside(loop, node)
    origins = loop.origins()
    for node in list(loop.body):
        if all(origins[value] is Origin.INVARIANT for value in node.outputs) and _is_movable(loop, node):
            for i, value in enumerate(loop.body.outputs):
                if value in node.outputs:
                    loop.body.outputs[i] = loop.copy(value, "copy")
            loop.body.remove(node)
            loop.graph.insert_before(loop.node, node)


def _is_movable(loop: ScanLoop, node: ir.Node) -> bool:
    """Whether a node gives the same each time, and everything that it reads has moved already."""
    nodes = [node, *(inner for graph in subgraphs(node) for inner in ir.traversal.RecursiveGraphIterator(graph))]
    if any(each.op_type in _RANDOM for each in nodes):
        return False
    read = (value.producer() for each in nodes for value in each.inputs if value is not None)
    return not any(producer is not None and producer.graph is loop.body for producer in read)


def _read_size_outside(loop: ScanLoop, node: ir.Node) -> None:
    """Replace the Shape of a state by that of the initial state, and of an element by that of its sequence."""
    value = node.inputs[0] if node.op_type == "Shape" else None
    if value is None or value not in loop.body.inputs:
        return
    position = [*loop.body.inputs].index(value)
    outer = loop.node.inputs[position]
    if outer is None or outer.shape is None:
        return
    if position < loop.num_states:
        node.replace_input_with(0, outer)
    elif loop.input_axes[position - loop.num_states] == 0:
        full = outer.shape.rank() - 1
        start, end = node.attributes.get_int("start", 0), node.attributes.get_int("end", full)
        start, end = (min(max(at + full if at < 0 else at, 0), full) + 1 for at in (start, end))
        node.attributes["start"], node.attributes["end"] = ir.AttrInt64("start", start), ir.AttrInt64("end", end)
        node.replace_input_with(0, outer)


def remove_unread(loop: ScanLoop) -> None:
    """Remove nodes of the body that nothing reads."""
    for node in reversed(list(loop.body)):
        if not any(value.uses() or value.is_graph_output() for value in node.outputs):
            loop.body.remove(node, safe=True)


def remove_unused(loop: ScanLoop) -> None:
    """Remove step outputs, nodes of the body and sequences that nothing reads; one sequence is kept, for the length."""
    many = loop.num_states
    unread = [k for k, value in enumerate(loop.node.outputs[many:]) if not value.uses() and not value.is_graph_output()]
    loop.drop_steps(unread)
    remove_unread(loop)
    rows = [*zip(loop.node.inputs[many:], loop.elements, loop.origins_of_elements, loop.input_axes, strict=True)]
    read = [row for row in rows if row[1].uses() or row[1] in loop.body.outputs]
    loop.set_inputs(read or rows[:1])


_LOOP_PASSES: Sequence[Callable[[ScanLoop], None]] = (
    drop_expands,
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
    """Move out of every loop what need not run in every step.

    Inner loops come first, so that what leaves them can leave the loop around them too.
    """
    loops = loops_of(model.graph)
    for loop in loops:
        _keep_layer_name(loop.node)
    for loop in loops:
        split_gemms(loop)
    one_hot_to_gather(model.graph, signature)
    for loop in loops:
        shrink(loop)
    one_hot_to_gather(model.graph, signature)
    split_matmuls(model.graph, model.graph)
    fold_constants(model.graph)
    RemoveUnusedNodesPass()(model)


def fuse_loops(model: ir.Model) -> None:
    """Write what stays in a loop as `Gemm`, where that can be."""
    for loop in loops_of(model.graph):
        fuse_gemms(loop)
    RemoveUnusedNodesPass()(model)


def shrink(loop: ScanLoop) -> None:
    """Move out of one loop what need not run in every step."""
    for apply in _LOOP_PASSES:
        apply(loop)


def loops_of(graph: ir.Graph) -> list[ScanLoop]:
    """All loops of the main graph and of the graphs inside it, inner ones first."""
    return [ScanLoop(node, graph) for node in _scans(graph)]


def _scans(graph: ir.Graph) -> Iterator[ir.Node]:
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
