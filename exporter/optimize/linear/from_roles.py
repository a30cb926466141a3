"""Write the operator that a part of a graph is, in a graph of its own."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from ..graph import add_constant
from .algebra import TIME, Factor, Term
from .axis_names import KEY, VALUE
from .candidate import Roles
from .layout import Extent, Layout
from .matching import Readout, Recurrence
from .operator import OPERATOR, Place, write_at
from .regions import Lengths, Region

_MOST_IN_A_CHUNK = 1024


def padding(lengths: Lengths, output: ir.Value) -> int | None:
    """The number of steps that an output is padded to a multiple of, 1 for none; None if it is another length."""
    (axis,) = lengths.along_time(output)
    pairs = [*zip(lengths.of(output)[axis], lengths.steps, strict=True)]
    return next((c for c in range(1, _MOST_IN_A_CHUNK + 1) if all(-(-T // c) * c == many for many, T in pairs)), None)


def operator_graph(lengths: Lengths, region: Region, roles: Roles, name: str) -> ir.Graph:
    """The branch with the operator."""
    main, output = lengths.model.graph, region.output
    extents = _extents(lengths, roles)
    nodes: list[ir.Node] = []
    layout = Layout(main, extents, f"{output.name}.operator", nodes)
    decay = _decay(layout, roles)
    axes = tuple(axis for axis in roles.axes if axis not in (TIME, VALUE, None))
    is_valued = VALUE in roles.axes
    read = tuple(axis for axis in roles.axes if axis != TIME)
    value = Term(1.0, (*([] if roles.value is None else [roles.value]), *roles.weights))
    recurrence = Recurrence(
        0,
        (*axes, KEY, *([VALUE] if is_valued else [])),
        KEY,
        VALUE if is_valued else None,
        Term(1.0, (roles.key,)),
        value,
        decay,
        None if roles.rate is None else Term(1.0, (roles.rate,)),
        Readout(output, read, Term(roles.scale, (roles.query,)), is_before=False),
    )
    written = write_at(Place(main, extents, None), recurrence, f"{name}.{output.name}")
    for node in written.nodes:
        node.name = name if node.op_type == OPERATOR else node.name
    nodes += written.nodes
    at = roles.axes.index(TIME)
    end = ir.node("Transpose", [written.readout], {"perm": [*range(1, at + 1), 0, *range(at + 1, len(roles.axes))]})
    nodes.append(end)
    steps = padding(lengths, output)
    assert steps is not None
    result = end.outputs[0] if steps == 1 else _padded(layout, end.outputs[0], at, len(roles.axes), steps)
    for i, node in enumerate(nodes):
        node.name = f"{output.name}.operator.{i}" if node.name is None else node.name
        for k, each in enumerate(node.outputs):
            each.name = f"{node.name}.{k}" if each.name is None else each.name
    result.type, result.shape = output.type, output.shape
    return ir.Graph([], [result], nodes=nodes, name=f"{output.name}.operator")


def _extents(lengths: Lengths, roles: Roles) -> dict[int, Extent]:
    """Where the length of each axis can be read."""
    found: dict[int, Extent] = {}
    factors = (roles.query, roles.key, roles.value, roles.decay, roles.rate, *roles.weights)
    for factor in (each for each in factors if each is not None):
        for at, (axis, many) in enumerate(zip(factor.axes, lengths.of(factor.value), strict=True)):
            if axis is not None:
                known = None if factor.value.shape is None else factor.value.shape[at]
                dynamic = known if isinstance(known, ir.SymbolicDim) else ir.SymbolicDim(None)
                found.setdefault(axis, Extent(many[0] if len({*many}) == 1 else dynamic, factor.value, at))
    return found


def _decay(layout: Layout, roles: Roles) -> tuple[Term, ...]:
    """The decay as a power of e."""
    if roles.decay is None and roles.rates is None:
        return ()
    factors = [] if roles.decay is None else [roles.decay]
    if roles.rates is not None:
        rates = add_constant(layout.main, f"{layout.prefix}.rates", roles.rates.astype(np.float32))
        factors.append(Factor(rates, roles.heads if roles.rates.ndim else ()))
    names = frozenset[int]().union(*(factor.names for factor in factors))
    axes = [axis for axis in (*roles.streams, TIME, *roles.heads, KEY) if axis in names]
    logarithm = layout.product(Term(1.0, tuple(factors)), axes)
    decay = layout.node("Exp", [logarithm], layout.dims(axes) or (1,))
    decay.shape = ir.Shape(layout.dims(axes))
    return (Term(1.0, (Factor(decay, tuple(axes)),)),)


def _padded(layout: Layout, value: ir.Value, axis: int, rank: int, chunk: int) -> ir.Value:
    """The value with zeros behind, to whole chunks."""
    steps = layout.node(
        "Shape", [layout.extents[TIME].value], start=layout.extents[TIME].at, end=layout.extents[TIME].at + 1
    )
    size = layout.numbers([chunk])
    rest = layout.node("Mod", [layout.node("Neg", [steps]), size])
    pads = [layout.numbers([0] * many) for many in (rank + axis, rank - axis - 1) if many]
    both = layout.node("Concat", [pads[0], rest, *pads[1:]], axis=0)
    both.shape = ir.Shape([2 * rank])
    return layout.node("Pad", [value, both], [1] * rank)
