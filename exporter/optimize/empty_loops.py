"""Run a loop that may have no steps only where it has one.

    (h_n, y) = Scan(h0, x)    becomes    (h_n, y) = If(steps > 0) {Scan(h0, x)} {h0, ConstantOfShape([0, ...])}

ONNX Runtime cannot run a `Scan` of no steps, and a `Loop` of none puts out stacks of another shape. What only the loop
reads moves into the branch with it: what left the body may be an error where there is no step.
Works in place, on a graph whose dimensions have the signature's names: one that is named there is never 0.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from ..spec.signature import Signature
from .graph import array_of, constant_like, numbered, subgraphs
from .loops.scan_loop import ScanLoop


@dataclass(frozen=True)
class _Size:
    """Where a size can be read: a dimension of a value."""

    value: ir.Value
    axis: int


@dataclass(frozen=True)
class _MayBeEmpty:
    """A loop: the states it begins with, what each step puts out, and along which axis that is stacked.

    It has a step where `steps`, a size, is not 0, or where `going` is true; the other is None.
    """

    node: ir.Node
    states: Sequence[ir.Value | None]
    outputs: Sequence[ir.Value]
    axes: Sequence[int]
    steps: _Size | None = None
    going: ir.Value | None = None

    @property
    def graph(self) -> ir.Graph:
        assert isinstance(self.node.graph, ir.Graph)
        return self.node.graph


def guard_empty_loops(model: ir.Model, signature: Signature) -> None:
    """Put each loop that may have no steps into an `If`; one that stacks what has no known shape stays."""
    names, taken = {*signature.symbols}, set[str]()
    for graph in [model.graph, *_inner_graphs(model.graph)]:
        for node in [node for node in graph if node.domain == ""]:
            loop = _scan(ScanLoop(node, model.graph), names) if node.op_type == "Scan" else None
            loop = _loop(node) if node.op_type == "Loop" else loop
            if loop is not None:
                # ONNX's shape inference mixes up equal names, even those in the two branches of an `If`.
                node.name = next(name for name in numbered(str(node.name)) if name not in taken)
                taken.add(node.name)
                _guard(loop, model.graph)


def _scan(loop: ScanLoop, names: set[str]) -> _MayBeEmpty | None:
    if not may_be_empty(loop, names):
        return None
    sequence = loop.node.inputs[loop.num_states]
    assert sequence is not None
    steps = _Size(sequence, loop.input_axes[0])
    return _MayBeEmpty(loop.node, loop.node.inputs[: loop.num_states], loop.steps, loop.output_axes, steps)


def _loop(node: ir.Node) -> _MayBeEmpty | None:
    """A `Loop` without a limit that stacks something, unless it is known to begin."""
    limit, going, *states = node.inputs
    outputs = node.attributes["body"].as_graph().outputs[1 + len(states) :]
    if limit is not None or going is None or not outputs or array_of(going) is not None:
        return None
    return _MayBeEmpty(node, states, outputs, [0] * len(outputs), going=going)


def _inner_graphs(graph: ir.Graph) -> Iterator[ir.Graph]:
    for node in graph:
        for inner in subgraphs(node):
            yield inner
            yield from _inner_graphs(inner)


def may_be_empty(loop: ScanLoop, names: set[str]) -> bool:
    """Whether no sequence is known to have a step: its length is not a number, a named size or what is no less."""
    sequences = zip(loop.node.inputs[loop.num_states :], loop.input_axes, strict=True)
    lengths = [value.shape[axis] for value, axis in sequences if value is not None and value.shape is not None]
    return not any(_is_positive(length, names) for length in lengths)


def _is_positive(length: int | ir.SymbolicDim, names: set[str]) -> bool:
    if isinstance(length, int):
        return length > 0
    text = length.value or ""
    words = re.findall(r"\w+", text)
    # Sums and products of what is at least 1; the longest of packed sequences has a step.
    plain = bool(words) and re.fullmatch(r"\w+(\s*[+*]\s*\w+)*", text) is not None
    known = all(word in names or (word.isdecimal() and int(word) > 0) for word in words)
    return (plain and known) or re.fullmatch(r"max\(\w+\)", text) is not None


def _guard(loop: _MayBeEmpty, main: ir.Graph) -> None:
    sizes = _sizes(loop, main)
    stacks = [_dims_of_stack(loop, k) for k in range(len(loop.outputs))]
    if any(dims is None or not all(isinstance(dim, int) or dim in sizes for dim in dims) for dims in stacks):
        return
    node, graph = loop.node, loop.graph
    zero = constant_like(main, "no_steps", np.zeros(1, np.int64))
    asking, any_step, number = _any_step(loop, sizes, zero)
    other = _no_steps(loop, [[*dims] for dims in stacks if dims is not None], sizes, number, main)
    graph.insert_before(node, asking)
    results = [ir.Value(name=value.name, type=value.type, shape=value.shape) for value in node.outputs]
    for old, new in zip(node.outputs, results, strict=True):
        old.name = f"{old.name}.of_steps"
        ir.convenience.replace_all_uses_with(old, new, replace_graph_outputs=True)
    moved = [*_only_read_by(node, {any_step, *(size.value for size in sizes.values())}), node]
    choice = ir.Node("", "If", [any_step], outputs=results, name=f"{node.name}.any_step")
    graph.insert_after(node, choice)
    graph.remove(moved)
    steps = ir.Graph([], node.outputs, nodes=moved, name=f"{node.name}.steps")
    choice.attributes["then_branch"] = ir.AttrGraph("then_branch", steps)
    choice.attributes["else_branch"] = ir.AttrGraph("else_branch", other)


def _any_step(
    loop: _MayBeEmpty, sizes: Mapping[str, _Size], zero: ir.Value
) -> tuple[list[ir.Node], ir.Value, ir.Value]:
    """The nodes that compute whether there is a step; that; and the number of steps if there is none.

    That is 0, but tract 0.23 wants a stack to be as long in both branches.
    """
    if loop.going is not None:
        return [], loop.going, zero
    assert loop.steps is not None
    shape = loop.steps.value.shape
    named = None if shape is None else sizes.get(str(shape[loop.steps.axis]))
    tape = ir.tape.Tape()
    size = named or loop.steps
    count = _counted(size.value)
    # ONNX's checker stumbles over the shape of a Range in the body of a Loop.
    number = _read(tape, size) if count is None else tape.op("Max", [tape.op("Unsqueeze", [count, zero]), zero])
    any_step = tape.op("Greater", [number, zero])
    for each, label in zip(reversed(tape.nodes), ("any", "number", "count"), strict=False):
        each.name = each.outputs[0].name = f"{loop.node.name}.{label}_of_steps"
    return [*tape.nodes], any_step, number


def _counted(sequence: ir.Value) -> ir.Value | None:
    """How many numbers from 0 on a sequence is, if it is that."""
    producer = sequence.producer()
    if producer is None or producer.op_type != "Range":
        return None
    start, count, step = producer.inputs
    return count if array_of(start) == 0 and array_of(step) == 1 else None


def _sizes(loop: _MayBeEmpty, main: ir.Graph) -> Mapping[str, _Size]:
    """Where each symbolic size is first found, of what is computed before the loop."""
    before = itertools.takewhile(lambda each: each is not loop.node, loop.graph)
    values = [*main.inputs, *loop.graph.inputs, *(value for node in before for value in node.outputs)]
    found: dict[str, _Size] = {}
    for value in values:
        for axis, dim in enumerate(value.shape or ()):
            if isinstance(dim, ir.SymbolicDim) and dim.value is not None:
                found.setdefault(dim.value, _Size(value, axis))
    return found


def _read(tape: ir.tape.Tape, size: _Size) -> ir.Value:
    """A size as int64[1]."""
    return tape.op("Shape", [size.value], {"start": size.axis, "end": size.axis + 1})


def _dims_of_stack(loop: _MayBeEmpty, k: int) -> Sequence[int | str] | None:
    """The sizes of the k-th stack where it has no steps; None where they are not known."""
    shape, axis = loop.outputs[k].shape, loop.axes[k]
    if shape is None:
        return None
    dims = [dim if isinstance(dim, int) else str(dim.value) for dim in shape]
    axis = axis + len(dims) + 1 if axis < 0 else axis
    return [*dims[:axis], 0, *dims[axis:]]


def _no_steps(
    loop: _MayBeEmpty,
    stacks: Sequence[Sequence[int | str]],
    sizes: Mapping[str, _Size],
    number: ir.Value,
    main: ir.Graph,
) -> ir.Graph:
    """The branch for no steps: the initial states, and empty stacks."""
    tape = ir.tape.Tape()
    ends = [tape.op("Identity", [value]) for value in loop.states]
    for step, dims in zip(loop.outputs, stacks, strict=True):
        numbers = [
            (number if dim == 0 else constant_like(main, f"size.{dim}", np.array([dim], np.int64)))
            if isinstance(dim, int)
            else _read(tape, sizes[dim])
            for dim in dims
        ]
        assert step.dtype is not None
        empty = ir.tensor(np.zeros(1, step.dtype.numpy()), dtype=step.dtype)
        ends.append(tape.op("ConstantOfShape", [tape.op("Concat", numbers, {"axis": 0})], {"value": empty}))
    nodes = list(tape.nodes)
    for i, each in enumerate(nodes):
        each.name = each.outputs[0].name = f"{loop.node.name}.no_steps.{i}"
    for end, value in zip(ends, loop.node.outputs, strict=True):
        end.type, end.shape = value.type, value.shape
    return ir.Graph([], ends, nodes=nodes, name=f"{loop.node.name}.no_steps")


def _only_read_by(node: ir.Node, kept: set[ir.Value]) -> list[ir.Node]:
    """What nothing but this node reads, in order; `kept` and the initial states are read by the other branch too."""
    graph = node.graph
    assert graph is not None
    inside: dict[ir.Node, ir.Node] = {}
    for top in graph:
        for inner in (each for body in subgraphs(top) for each in ir.traversal.RecursiveGraphIterator(body)):
            inside[inner] = top
    moved = {node}
    for each in reversed(list(itertools.takewhile(lambda one: one is not node, graph))):
        readers = {inside.get(use.node, use.node) for value in each.outputs for use in value.uses()}
        is_kept = any(value in kept or value.is_graph_output() for value in each.outputs)
        if readers and readers <= moved and not is_kept:
            moved.add(each)
    return [each for each in graph if each in moved and each is not node]
