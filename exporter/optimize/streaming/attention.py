"""Where a table of steps by steps is summed up, as in attention: earlier keys and values are states."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from .axes import mixed_axes
from .flow import Mixed, Paired, Sequence
from .graph_stream import GraphStream
from .pairs import axes_of, letter_of, pair, summed_axis
from .span import Span, Steps
from .support import NOT_MASKED, NOT_ZERO, reach, support, unreadable
from .tables import Tables

_EVERY = "multiplies every step by every other, as attention does"
_BEFORE = "looks back at all steps, and at others that come before the first. Look back within a window"
_STRIDES = "looks back at all steps of a sequence that has not one for each of {time}. Look back within a window"


def follow_pairs(stream: GraphStream, node: ir.Node) -> None:
    """A node that makes or reads a table of steps by steps."""
    found = summed_axis(stream, node)
    if found is None:
        pair(stream, node)
        return
    at, which = found
    flow = stream.flow(node.inputs[at])
    assert isinstance(flow, Paired)
    rows, columns = (flow.second, flow.first) if which == 0 else (flow.first, flow.second)
    values = _values(stream, node, at)
    moving = [side.shift for side in (columns, *(values or {}).values()) if not side.steady]
    if values is None or not moving or rows.rate != columns.rate or columns.is_merged:
        stream.mixed(node)
        return
    turned = which == 0
    part = NOT_MASKED if node.op_type == "ReduceMax" else NOT_ZERO
    back, ahead = reach(support(stream, node.inputs[at], turned, part))
    why = unreadable(stream, node.inputs[at], turned, back)
    if ahead is None or why:
        stream.mixed(node, why or _EVERY)
        return
    shift = min(moving)
    row = shift - ahead if rows.steady else min(rows.shift, shift - ahead)
    span = Span(row, shift, None if back is None else shift - row + back, columns.rate)
    if span.past is None and (shift > 0 or span.rate != 1):
        stream.mixed(node, _BEFORE if shift > 0 else _STRIDES)
        return
    _sum_up(stream, node, at, turned, span, values)


def _values(stream: GraphStream, node: ir.Node, at: int) -> dict[int, Sequence] | None:
    """The other operands, whose steps are summed up with those of the table; None if there are others yet."""
    found = {}
    for k, value in enumerate(node.inputs):
        flow = stream.flow(value)
        if k == at:
            continue
        if isinstance(flow, Paired | Mixed):
            return None
        if isinstance(flow, Sequence):
            found[k] = flow
    many = 0 if node.op_type.startswith("Reduce") else 1
    if len(found) != many or any(flow.is_merged for flow in found.values()):
        return None
    return found if all(_is_summed(stream, node, at, k, flow) for k, flow in found.items()) else None


def _is_summed(stream: GraphStream, node: ir.Node, at: int, k: int, flow: Sequence) -> bool:
    """Whether an operand's steps are those that the table is summed up along."""
    if node.op_type != "Einsum":
        return flow.axis in mixed_axes(stream, node, k)
    table, found = stream.flow(node.inputs[at]), summed_axis(stream, node)
    assert isinstance(table, Paired)
    return found is not None and letter_of(node, k, flow.axis) == letter_of(node, at, axes_of(table)[found[1]])


def _sum_up(stream: GraphStream, node: ir.Node, at: int, turned: bool, span: Span, values: dict[int, Sequence]) -> None:
    value, output = node.inputs[at], node.outputs[0]
    flow = stream.flow(value)
    assert value is not None
    assert isinstance(flow, Paired)
    rows = flow.second if turned else flow.first
    found = stream.located(output, replace(rows, shift=span.row, steady=False))
    tables = Tables(stream, Steps(stream, node, span))
    if found is None or not tables.can_build(value, turned):
        stream.mixed(node, "" if found is None else "takes a softmax over the steps that look back")
        return
    for k in values:  # before the table, for a number of columns that grows is read off them
        operand = node.inputs[k]
        assert operand is not None
        node.replace_input_with(k, tables.looked_back(operand, "v"))
    node.replace_input_with(at, tables.summand(value, turned, -1 if node.op_type == "ReduceMax" else 0))
    stream.rewire(node)
    stream.masked = True
    stream.settle(node, output, found)
