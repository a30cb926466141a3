"""Have the file itself refuse sizes below or beyond those that its graph holds for.

Works in place, as the last pass: in a finished graph of any opset from 17 on. A runtime checks the indices of a
`Gather`; this one reads the only element of [0] at Max(size - most, 0) or Max(least - size, 0), and what it reads is
added to the shape that an input is given, so that no optimizer takes it for unused. A `Reshape` copies nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from ..errors import CaptureError
from ..spec.signature import Signature

Bounds = Mapping[str, Mapping[str, int]]


def enforce_bounds(model: ir.Model, signature: Signature, bounds: Bounds) -> None:
    """Make the graph raise where a named size is below its `min` or beyond its `max`.

    A size that no input has which the graph reads needs no `min`: nothing is computed of it.

    Raises:
        CaptureError: no input that the graph reads has a size with a `max`.
    """
    for name, bound in bounds.items():
        for end in ("min", "max"):
            if end in bound:
                _enforce(model.graph, signature, name, end, bound[end])


def _enforce(graph: ir.Graph, signature: Signature, name: str, end: str, limit: int) -> None:
    named = zip(graph.inputs, signature.inputs.values(), strict=False)
    having = [(value, spec.shape.index(name)) for value, spec in named if name in spec.shape and value.uses()]
    words = {"min": "at least", "max": "at most"}[end]
    if not having and end == "min":
        return
    if not having:
        raise CaptureError(
            f"The model holds for {name} up to {limit} only, and the graph reads no input of that size. "
            f"Use such an input in forward, or give {name} as a number."
        )
    value, axis = having[0]
    tape = ir.tape.Tape()
    size = tape.op("Shape", [value], {"start": axis, "end": axis + 1})
    edge = constant(tape, f"{name}.{end}", limit)
    difference = tape.op("Sub", [size, edge] if end == "max" else [edge, size])
    beyond = tape.op("Max", [difference, constant(tape, f"{name}.{end}.zero", 0)])
    for made, suffix in ((size, "size"), (difference, "difference"), (beyond, "beyond")):
        made.name = f"{name}.{end}.{suffix}"
    refuse_unless_zero(graph, tape, value, beyond, f"{name}.{end}", f"{name} is {words} {limit}")


def refuse_unless_zero(
    graph: ir.Graph, tape: ir.tape.Tape, value: ir.Value, index: ir.Value, prefix: str, label: str
) -> None:
    """Make every use of an input wait for an index, int64[1], that `tape` computes, and raise where it is not 0.

    Args:
        prefix: what the names of the new values begin with.
        label: the name of the node that raises, which a runtime shows.
    """
    first = next(iter(graph))
    zero = tape.op("Gather", [constant(tape, f"{prefix}.allowed", 0), index], name=label)
    shape = tape.op("Add", [tape.op("Shape", [value]), zero])
    checked = tape.op("Reshape", [value, shape])
    zero.name, shape.name = f"{prefix}.checked", f"{prefix}.shape"
    checked.name, checked.type, checked.shape = f"{value.name}.{prefix}.checked", value.type, value.shape
    within = set(tape.nodes)
    for use in list(value.uses()):
        if use.node not in within:
            use.node.replace_input_with(use.idx, checked)
    graph.insert_before(first, tape.nodes)
    for made in tape.initializers:
        graph.register_initializer(made)


def constant(tape: ir.tape.Tape, name: str, number: int) -> ir.Value:
    """A number of its own, int64[1]."""
    return tape.initializer(ir.tensor(np.array([number], np.int64)), name)
