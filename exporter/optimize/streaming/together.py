"""Operators that leave steps apart: the sequences that one reads are brought to the same shift."""

from __future__ import annotations

from dataclasses import replace

import onnx_ir as ir

from .flow import Flow, Mixed, Own, Result, Sequence, Sized, Still
from .graph_stream import GraphStream

# What one of these does where it meets single steps.
_WHOLE: dict[type[Flow], str] = {
    Sized: "computes with the number of steps of the whole sequence",
    Result: "puts what is known at the end of the sequence into every step",
}


def stepwise(stream: GraphStream, node: ir.Node, *, broadcast: bool = True) -> None:
    """An operator that computes each step from the same step of its inputs.

    Args:
        broadcast: whether the inputs' axes are counted from the last, so that a sequence has to lie along the same.
    """
    flow = joined(stream, node, broadcast=broadcast)
    stream.rewire(node)
    for output in node.outputs:
        stream.settle(node, output, _of(stream, node, output, flow))


def joined(stream: GraphStream, node: ir.Node, *, broadcast: bool = True) -> Flow:
    """What the inputs of a node are together; delays those that are ahead of others."""
    flows = [stream.flow(value) for value in node.inputs]
    mixed = next((flow for flow in flows if isinstance(flow, Mixed)), None)
    if mixed is not None:
        return mixed
    sequences = [(i, flow) for i, flow in enumerate(flows) if isinstance(flow, Sequence)]
    kinds = {type(flow) for flow in flows}
    if not {Own, Sequence} & kinds and not {Result, Sized} <= kinds:
        return Result() if Result in kinds else Sized() if Sized in kinds else Still()
    if Own in kinds:
        return own(stream, node)
    if {Sized, Result} & kinds:
        return _mixed(stream, node, _WHOLE[Sized if Sized in kinds else Result])
    first = next((flow for _, flow in sequences if not flow.steady), sequences[0][1])
    if not all(_is_along(stream, first, flow) for _, flow in sequences) or (
        broadcast and not _same_axis(stream, node, sequences)
    ):
        return _mixed(stream, node, "")
    shift = min(flow.shift for _, flow in sequences)
    for i, _ in sequences:
        value = node.inputs[i]
        assert value is not None
        node.replace_input_with(i, stream.delayed(node, value, shift))
    edges = {flow.edge for _, flow in sequences}
    steady = all(flow.steady for _, flow in sequences)
    return replace(first, shift=shift, steady=steady, edge=edges.pop() if len(edges) == 1 else 0)


def own(stream: GraphStream, node: ir.Node) -> Flow:
    """Leave a node to what the model does with a state that it takes, if nothing it reads is early or late."""
    for i, value in enumerate(node.inputs):
        flow = stream.flow(value)
        if isinstance(flow, Sequence) and value is not None:
            if flow.shift < 0 or flow.extra < 0:
                return _mixed(stream, node, "joins a sequence that is late with a state that the model takes")
            node.replace_input_with(i, stream.delayed(node, value, 0))
    return Own()


def _is_along(stream: GraphStream, first: Sequence, other: Sequence) -> bool:
    """Whether two sequences have the same steps; of a steady one it is enough that it is as long."""
    steps = [sizes[stream.time] for sizes in stream.measured.sizes]
    as_long = all(first.length(run, many) == other.length(run, many) for run, many in enumerate(steps))
    return as_long and (other.steady or first.is_along(other))


def _same_axis(stream: GraphStream, node: ir.Node, sequences: list[tuple[int, Sequence]]) -> bool:
    ranks = {i: stream.measured.arrays(node.inputs[i])[0].ndim for i, _ in sequences}
    return len({ranks[i] - flow.axis for i, flow in sequences}) == 1


def _mixed(stream: GraphStream, node: ir.Node, why: str) -> Mixed:
    stream.mixed(node, why)
    mixed = stream.flows[node.outputs[0]]
    assert isinstance(mixed, Mixed)
    return mixed


def _of(stream: GraphStream, node: ir.Node, output: ir.Value, flow: Flow) -> Flow:
    """What an output is, where the inputs together are `flow`."""
    if isinstance(flow, Sequence):
        found = stream.located(output, flow)
        return found if found is not None else _mixed(stream, node, "")
    if isinstance(flow, Own):
        return stream.in_step(output) or flow
    if isinstance(flow, Sized) and stream.measured.varying_axes(output):
        return _mixed(stream, node, "")
    return flow
