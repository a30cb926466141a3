"""Find where a graph looks at all pairs of steps, or at chunks of them: from sequences to a sequence again.

    q, k, v  ->  q @ k.mT [T, T]  ->  * mask  ->  @ v [T, V]

The graph is run at a few sizes, so that it is known which axes are as long as the sequence, and which are not but
follow from it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import onnx_ir as ir

from ...spec.signature import Signature
from ..graph import read
from ..streaming.measure import Measured, measure_at
from .analytic import is_analytic

# Steps and other sizes of the runs: with chunks of 256 or fewer, the longest is several. Models that take only whole
# chunks run at the others.
_STEPS = ((7, 70, 300), (64, 128, 320), (256, 512, 768))
_OTHERS = ((2, 3, 2), (3, 2, 3), (5, 4, 5))

# What only turns a sequence round or joins it with others, between a region's product and where it is as long as T.
_PASSING = ("Slice", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Cast", "Add", "Mul", "Div")
# What sequences may come from, one step at a time, without anything else being lost.
_PLAIN = ("Mul", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Neg", "Cast", "CumSum")


@dataclass(frozen=True)
class Region:
    """Nodes that compute `output` from sequences, `sources`; of `sized` they read the shape alone."""

    output: ir.Value
    sources: tuple[ir.Value, ...]
    sized: tuple[ir.Value, ...]
    nodes: frozenset[ir.Node]


@dataclass(frozen=True)
class Lengths:
    """How long the axes of every value are in each run, which differ in T and, the second, in other sizes."""

    model: ir.Model
    measured: Measured
    time: str

    @cached_property
    def steps(self) -> tuple[int, ...]:
        return tuple(sizes[self.time] for sizes in self.measured.sizes)

    @cached_property
    def dependent(self) -> frozenset[ir.Value]:
        """The values that depend on the elements of an input, not on sizes alone."""
        found = {*self.model.graph.inputs}
        for node in self.model.graph:
            if node.op_type not in ("Shape", "Size") and any(value in found for value in read(node)):
                found.update(node.outputs)
        return frozenset(found)

    def of(self, value: ir.Value) -> tuple[tuple[int, ...], ...]:
        """Each axis by its length in each run."""
        arrays = self.measured.arrays(value)
        return tuple(zip(*(array.shape for array in arrays), strict=True)) if arrays else ()

    def along_time(self, value: ir.Value) -> list[int]:
        """The axes whose length depends on the time."""
        return [at for at, axis in enumerate(self.of(value)) if axis[0] != axis[2]]

    def is_sequence(self, value: ir.Value) -> bool:
        """Whether a value has one axis that is as long as the sequence, and no other that follows from it."""
        axes = self.along_time(value)
        return len(axes) == 1 and self.of(value)[axes[0]] == self.steps

    @cached_property
    def behind_pairs(self) -> frozenset[ir.Value]:
        """The values that depend on elements of what is paired."""
        found = set[ir.Value]()
        for node in self.model.graph:
            if node.op_type not in ("Shape", "Size") and any(
                value in found or (value in self.dependent and self.is_paired(value)) for value in read(node)
            ):
                found.update(node.outputs)
        return frozenset(found)

    def is_paired(self, value: ir.Value) -> bool:
        """Whether axes follow from the time otherwise: there are two, or chunks, or the sequence is padded."""
        return bool(self.along_time(value)) and not self.is_sequence(value)


def lengths_of(model: ir.Model, signature: Signature, time: str) -> Lengths | None:
    """Run the graph; None where it cannot be run at these sizes."""
    others = [name for name in signature.symbols if name != time]
    for steps in _STEPS:
        rows = [
            {time: many, **{name: _OTHERS[i % len(_OTHERS)][k] for i, name in enumerate(others)}}
            for k, many in enumerate(steps)
        ]
        try:
            return Lengths(model, measure_at(model, signature, rows), time)
        except Exception:  # onnxruntime raises classes of its own that have no common base
            continue
    return None


def may_have_regions(graph: ir.Graph) -> bool:
    """Whether two products, or one of several factors, are of values that are no weights."""
    products = [
        node
        for node in ir.traversal.RecursiveGraphIterator(graph)
        if node.op_type in ("MatMul", "Einsum") and all(_is_computed(value) for value in node.inputs)
    ]
    return len(products) > 1 or any(len(node.inputs) > 2 for node in products)


def regions(lengths: Lengths) -> Iterator[list[Region]]:
    """Each place, as the regions that it may be: to its end or to what is added there, from near or far."""
    for node in lengths.model.graph:
        for value in node.outputs:
            is_end = any(lengths.is_paired(each) for each in read(node)) and value in lengths.dependent
            if is_end and lengths.is_sequence(value) and value.dtype == ir.DataType.FLOAT:
                ends = [*_ends(lengths, value)]
                ways = [(deep, far) for deep in (True, False) for far in (False, True)]
                found = [_region(lengths, end, deep=deep, far=far) for deep, far in ways for end in ends]
                yield [*{(each.output, each.sources): each for each in found if each is not None}.values()]


def _ends(lengths: Lengths, value: ir.Value) -> Iterator[ir.Value]:
    """The value, and what it is made of, as far as that is as long at least as the sequence along one axis."""
    waiting = [value]
    while waiting:
        value = waiting.pop(0)
        axes = lengths.along_time(value)
        if len(axes) == 1 and all(many >= T for many, T in zip(lengths.of(value)[axes[0]], lengths.steps, strict=True)):
            yield value
        node = value.producer()
        if node is not None and node.op_type in _PASSING:
            waiting += [
                each
                for each in node.inputs
                if each is not None and each in lengths.dependent and lengths.is_paired(each)
            ]


def _region(lengths: Lengths, output: ir.Value, *, deep: bool, far: bool) -> Region | None:
    """What computes a value from sequences: with `deep` from none that depends on pairs, with `far` from their factors.

    None if that is not analytic, or depends on anything else.
    """
    dependent, behind = lengths.dependent, lengths.behind_pairs

    def is_source(value: ir.Value) -> bool:
        node = value.producer()
        passed = (deep and value in behind) or (far and node is not None and node.op_type in _PLAIN)
        return value is not output and value in dependent and lengths.is_sequence(value) and not passed

    sources, sized, nodes, seen = dict[ir.Value, None](), dict[ir.Value, None](), set[ir.Node](), set[ir.Value]()
    waiting = [(output, False)]
    while waiting:
        value, is_size = waiting.pop()
        node = value.producer()
        if is_size and value in dependent and value not in behind and not lengths.is_paired(value):
            sized[value] = None
        elif value not in seen:
            seen.add(value)
            if is_source(value):
                sources[value] = None
            elif node is not None:
                nodes.add(node)
                waiting += [(each, node.op_type in ("Shape", "Size")) for each in read(node)]
            elif value in dependent:
                return None
    if not all(is_analytic(node, dependent) for node in nodes) or any(map(_is_other, sources)):
        return None
    return Region(output, (*sources,), tuple(value for value in sized if value not in seen), frozenset(nodes))


def _is_other(value: ir.Value) -> bool:
    return value.dtype != ir.DataType.FLOAT


def _is_computed(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is None
