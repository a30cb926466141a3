"""Tables of steps by steps: which values are one, which sequence lies along which axis, where it is summed up."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import prod

import onnx_ir as ir

from .axes import mixed_axes
from .flow import Mixed, Own, Paired, Result, Sequence, Sized
from .graph_stream import GraphStream
from .positions import fit

# Where none of the axes of a table is theirs, these compute each element from the elements of the same two steps.
_NAMES = """
Abs Add And Cast Ceil Clip Concat Cos Div Einsum Elu Equal Erf Exp Expand Floor Gather Gelu Greater GreaterOrEqual
HardSigmoid HardSwish Identity IsInf IsNaN LayerNormalization LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max Min
Mish Mod Mul Neg Not Or PRelu Pow Reciprocal ReduceL2 ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Round Selu
Sigmoid Sign Sin Softmax Softplus Softsign Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Transpose Trilu Unsqueeze
Where Xor
"""
_ELEMENTWISE = frozenset(_NAMES.split())
_MOVED = ("Cast", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze")


def is_pairing(stream: GraphStream, node: ir.Node) -> bool:
    """Whether a node makes a table of steps by steps, or reads one."""
    flows = [stream.flow(value) for value in node.inputs]
    if any(isinstance(flow, Mixed | Own | Result) for flow in flows):
        return False
    if any(isinstance(flow, Paired) for flow in flows):
        return True
    across = len(node.outputs) == 1 and len(_varying(stream, node.outputs[0])) == 2
    return across and any(isinstance(flow, Sequence) and not flow.is_merged for flow in flows)


def is_fixed_table(stream: GraphStream, node: ir.Node) -> bool:
    """Whether a node makes a table of steps by steps from sizes alone."""
    if len(node.outputs) != 1 or not stream.distances.is_fixed(node.outputs[0]):
        return False
    return len(_varying(stream, node.outputs[0])) == 2 and _counted(stream, node.outputs[0]) is not None


def _varying(stream: GraphStream, value: ir.Value) -> list[int]:
    return stream.measured.varying_axes(value) if stream.measured.arrays(value) else []


def fixed_table(stream: GraphStream, node: ir.Node) -> None:
    """Leave the node: what is read of its table is read by distance."""
    found = _counted(stream, node.outputs[0])
    assert found is not None
    stream.flows[node.outputs[0]] = found


def _counted(stream: GraphStream, value: ir.Value) -> Paired | None:
    """A table whose sides are as long as the number of steps says."""
    sides = [steady_side(stream, value, axis) for axis in _varying(stream, value)]
    first, second = sides if len(sides) == 2 else (None, None)
    return Paired(first, second) if first is not None and second is not None else None


def steady_side(stream: GraphStream, value: ir.Value, axis: int) -> Sequence | None:
    found = fit(stream, stream.measured.dims(value, axis))
    ones = (1,) * len(stream.measured.runs)
    return None if found is None else Sequence(axis, *found, found[1], ones, ones, steady=True)


def pair(stream: GraphStream, node: ir.Node) -> None:
    """An operator that computes each element of a table from the elements of the same two steps.

    Nothing is rewritten: it is repeated where the table is summed up, once it is known how far back that looks.
    """
    output = node.outputs[0]
    flows = [stream.flow(value) for value in node.inputs]
    along = [
        k
        for k, flow in enumerate(flows)
        if isinstance(flow, Sequence | Paired) and {*axes_of(flow)} & _together(stream, node, k)
    ]
    apart = node.op_type == "Softmax" or (node.op_type == "Trilu" and _is_last(stream, node))
    known = node.op_type in _ELEMENTWISE and node.domain == "" and len(node.outputs) == 1 and _is_in_place(stream, node)
    if (along and not apart) or not known or any(_is_wide(stream, value) for value in node.inputs):
        stream.mixed(node)
        return
    sides = [_side(stream, node, which) for which in (0, 1)]
    first, second = sides
    if first is None or second is None or first.is_merged or second.is_merged:
        stream.mixed(node)
        return
    stream.flows[output] = Paired(first, second)


def _together(stream: GraphStream, node: ir.Node, k: int) -> set[int]:
    """The axes of an operand along which an element is computed from several."""
    return _summed(stream, node, k) if node.op_type == "Einsum" else mixed_axes(stream, node, k)


def _is_in_place(stream: GraphStream, node: ir.Node) -> bool:
    """Whether what only moves elements moves those of a table, and a Reshape leaves its axes whole."""
    if node.op_type not in _MOVED:
        return True
    flow, output = stream.flow(node.inputs[0]), node.outputs[0]
    if not isinstance(flow, Paired):
        return False
    if node.op_type != "Reshape":
        return True
    axes = _varying(stream, output)
    arrays = zip(stream.measured.arrays(node.inputs[0]), stream.measured.arrays(output), strict=True)
    return len(axes) == 2 and all(_around(one.shape, axes_of(flow)) == _around(two.shape, axes) for one, two in arrays)


def _around(shape: tuple[int, ...], axes: tuple[int, ...] | list[int]) -> tuple[int, ...]:
    """How many elements before, between and behind two axes."""
    first, second = axes
    return prod(shape[:first]), prod(shape[first + 1 : second]), prod(shape[second + 1 :])


def _is_last(stream: GraphStream, node: ir.Node) -> bool:
    flow = stream.flow(node.inputs[0])
    rank = stream.measured.arrays(node.outputs[0])[0].ndim
    return isinstance(flow, Paired) and axes_of(flow) == (rank - 2, rank - 1)


def _is_wide(stream: GraphStream, value: ir.Value | None) -> bool:
    """Whether an operand that is no shape follows from the number of steps of a whole run."""
    array = stream.measured.arrays(value)
    return isinstance(stream.flow(value), Sized) and not (array and array[0].dtype.kind == "i" and array[0].ndim == 1)


def axes_of(flow: Sequence | Paired) -> tuple[int, ...]:
    return (flow.axis,) if isinstance(flow, Sequence) else (flow.first.axis, flow.second.axis)


def _side(stream: GraphStream, node: ir.Node, which: int) -> Sequence | None:
    """The sequence along one axis of a node's table; None if its operands have different ones there."""
    output = node.outputs[0]
    axes = _varying(stream, output)
    if len(axes) != 2:
        return None
    found = steady_side(stream, output, axes[which])
    if found is None:
        return None
    for k, role in roles(stream, node):
        flow = stream.flow(node.inputs[k])
        if isinstance(flow, Paired):
            flow = (flow.first, flow.second)[which ^ role]
        elif role != which:
            continue
        assert isinstance(flow, Sequence)
        if stream.measured.dims(output, axes[which]) != _lengths(stream, flow):
            return None
        if found.steady:
            found = replace(flow, axis=axes[which])
        elif not flow.steady and not found.is_along(flow):
            return None
        elif not flow.steady:
            found = replace(found, shift=min(found.shift, flow.shift))
    return found


def _lengths(stream: GraphStream, flow: Sequence) -> list[Fraction]:
    return [flow.length(run, sizes[stream.time]) for run, sizes in enumerate(stream.measured.sizes)]


def roles(stream: GraphStream, node: ir.Node) -> list[tuple[int, int]]:
    """By operand that changes with the steps: which axis of the result a sequence lies along, the first or the second;
    of a table, 1 if its axes change places, else 0.
    """
    found = []
    for k, value in enumerate(node.inputs):
        flow = stream.flow(value)
        if isinstance(flow, Sequence | Paired):
            found.append((k, _role(stream, node, k, flow)))
    return found


def _role(stream: GraphStream, node: ir.Node, k: int, flow: Sequence | Paired) -> int:
    output = node.outputs[0]
    if node.op_type == "Einsum":
        letters, result = _letters(node)
        places = [result.index(letters[k][axis]) for axis in axes_of(flow)]
    elif node.op_type == "Transpose":
        perm = [*(node.attributes.get_ints("perm", None) or [])]
        rank = stream.measured.arrays(output)[0].ndim
        places = [(perm or [*range(rank)][::-1]).index(axis) for axis in axes_of(flow)]
    elif isinstance(flow, Paired):
        return 0
    else:
        ranks = [stream.measured.arrays(value)[0].ndim for value in (node.inputs[k], output)]
        places = [flow.axis + ranks[1] - ranks[0]]
    if isinstance(flow, Paired):
        return int(places[0] > places[1])
    return int(places[0] != _varying(stream, output)[0])


def _letters(node: ir.Node) -> tuple[list[str], str]:
    """The axes of an Einsum's operands, and of its result, as letters."""
    operands, _, result = node.attributes["equation"].as_string().replace(" ", "").partition("->")
    return operands.split(","), result


def summed_axis(stream: GraphStream, node: ir.Node) -> tuple[int, int] | None:
    """The operand of a node that is a table, and which of its two axes the node sums up; None if it does not."""
    for k, value in enumerate(node.inputs):
        flow = stream.flow(value)
        if isinstance(flow, Paired):
            gone = [axis for axis in axes_of(flow) if axis in _summed(stream, node, k)]
            if len(gone) == 1 and len(_varying(stream, node.outputs[0])) == 1:
                return k, axes_of(flow).index(gone[0])
    return None


def _summed(stream: GraphStream, node: ir.Node, k: int) -> set[int]:
    if node.op_type == "Einsum":
        letters, result = _letters(node)
        return {axis for axis, letter in enumerate(letters[k]) if letter not in result}
    if node.op_type in ("ReduceSum", "ReduceMax", "MatMul"):
        return mixed_axes(stream, node, k)
    return set()


def letter_of(node: ir.Node, k: int, axis: int) -> str:
    """What an Einsum calls an axis of an operand."""
    return _letters(node)[0][k][axis]


def softmax_side(stream: GraphStream, node: ir.Node) -> int | None:
    """Which axis of a table a softmax is taken along; None if neither."""
    flow = stream.flow(node.inputs[0])
    assert isinstance(flow, Paired)
    (along,) = mixed_axes(stream, node, 0)
    return axes_of(flow).index(along) if along in axes_of(flow) else None
