"""A sum is ordered so that what can leave the loop is added up first: biases, then what comes from elements.

Products come last, each to become one `Gemm` with what was added up before it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx_ir as ir

from .emit import broadcast, made, replace
from .loop import Origin, ScanLoop

_ORDER = (Origin.FIXED, Origin.FORWARD, Origin.REVERSE, Origin.STATE)


def reassociate_adds(loop: ScanLoop) -> None:
    """Apply to every sum of three terms or more, of which some depend on a state and others do not."""
    for node in [node for node in loop.body if _is_sum(node) and not _is_part(node)]:
        origins = loop.origins()
        terms = [*_terms(node)]
        free = [origin for term in terms if (origin := origins.get(term, Origin.FIXED)) is not Origin.STATE]
        # A bias alone stays beside its product.
        if len(terms) > len(free) and len(terms) > 2 and free not in ([], [Origin.FIXED]):
            _rebuild(loop.body, node, sorted(terms, key=lambda term: _place(term, origins)))


def _is_sum(node: ir.Node) -> bool:
    return node.op_type == "Add" and node.domain == ""


def _is_part(node: ir.Node) -> bool:
    """Whether a sum is read by another sum alone."""
    value = node.outputs[0]
    readers = value.consumers()
    alone = len(value.uses()) == 1 and not value.is_graph_output()
    return alone and _is_sum(readers[0]) and readers[0].graph is node.graph


def _terms(node: ir.Node) -> Iterator[ir.Value]:
    for value in node.inputs:
        assert value is not None
        producer = value.producer()
        if producer is not None and producer.graph is node.graph and _is_sum(producer) and _is_part(producer):
            yield from _terms(producer)
        else:
            yield value


def _place(term: ir.Value, origins: Mapping[ir.Value, Origin]) -> tuple[int, bool]:
    producer = term.producer()
    return _ORDER.index(origins.get(term, Origin.FIXED)), producer is not None and producer.op_type == "MatMul"


def _rebuild(body: ir.Graph, node: ir.Node, terms: list[ir.Value]) -> None:
    result, total, nodes = node.outputs[0], terms[0], []
    for i, term in enumerate(terms[1:], 1):
        add = made("Add", [term, total], result, f"{result.name}.{i}")
        shape = broadcast(terms[: i + 1])
        if shape is None:
            return
        add.outputs[0].shape = shape
        nodes.append(add)
        total = add.outputs[0]
    nodes[-1].outputs[0].shape = result.shape
    replace(body, node, nodes)
