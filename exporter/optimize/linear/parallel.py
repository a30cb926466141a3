"""Take linear attention that is computed for all pairs of steps, or chunk by chunk, as the operator that it is.

    y = ((q @ k.mT) * mask) @ v    becomes    y = If(all are finite) {LinearAttention(q, k, v)} {as it was}

The forms differ where a number is infinite or NaN: zero times that, in a mask, spreads it to the steps before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass

from ...spec.forms import Form
from ...spec.signature import Signature
from ..user_places import module_of
from .candidate import Roles
from .from_roles import operator_graph, padding
from .guarded import IF_FINITE, are_finite, as_it_was, inside
from .operator import MICROSOFT
from .regions import Lengths, Region, lengths_of, may_have_regions, regions
from .roles import find_roles


@dataclass(frozen=True)
class _Found:
    region: Region
    roles: Roles


def lower_parallel_forms(model: ir.Model, signature: Signature, form: Form) -> bool:
    """Replace every parallel or chunked form by the operator, in place; returns whether there is one."""
    if form == "scan" or not may_have_regions(model.graph):
        return False
    is_found = False
    for time in signature.symbols:
        lengths = lengths_of(model, signature, time)
        if lengths is None:
            continue
        found = _closed([each for place in regions(lengths) if (each := _first(lengths, place)) is not None], lengths)
        for each in found:
            model.opset_imports[MICROSOFT] = 1
            _replace(lengths, each)
        if found:
            RemoveUnusedNodesPass()(model)
        is_found |= bool(found)
    return is_found


def _first(lengths: Lengths, place: Iterable[Region]) -> _Found | None:
    for region in place:
        roles = find_roles(lengths, region)
        if roles is not None and padding(lengths, region.output) is not None:
            return _Found(region, roles)
    return None


def _closed(found: list[_Found], lengths: Lengths) -> list[_Found]:
    """Those after which nothing is left of what they were: else both would be computed."""
    owners = {inner: node for node in lengths.model.graph for inner in inside(node)}
    while True:
        nodes = frozenset[ir.Node]().union(*(each.region.nodes for each in found))
        outputs = {each.region.output for each in found}
        kept = [each for each in found if _is_closed(each, lengths, nodes, outputs, owners)]
        if len(kept) == len(found):
            return kept
        found = kept


def _is_closed(
    found: _Found,
    lengths: Lengths,
    nodes: frozenset[ir.Node],
    outputs: set[ir.Value],
    owners: Mapping[ir.Node, ir.Node],
) -> bool:
    paired = [
        value
        for node in found.region.nodes
        for value in node.outputs
        if value in lengths.dependent and value not in outputs and not lengths.is_sequence(value)
    ]
    return not any(
        value.is_graph_output() or any(owners[use.node] not in nodes for use in value.uses()) for value in paired
    )


def _replace(lengths: Lengths, found: _Found) -> None:
    main, output = lengths.model.graph, found.region.output
    before = output.producer()
    assert before is not None
    name = module_of(before) or "attention"
    result = ir.Value(name=output.name, type=output.type, shape=output.shape)
    plain = as_it_was(main, found.region)
    nodes, finite = are_finite(main, found.region.sources, str(output.name))
    choice = ir.Node("", "If", [finite], outputs=[result], name=f"{output.name}{IF_FINITE}")
    operator = operator_graph(lengths, found.region, found.roles, name)
    choice.attributes["then_branch"] = ir.AttrGraph("then_branch", operator)
    choice.attributes["else_branch"] = ir.AttrGraph("else_branch", plain)
    main.insert_before(before, [*nodes, choice])
    output.name = f"{output.name}.before"
    ir.convenience.replace_all_uses_with(output, result, replace_graph_outputs=True)
