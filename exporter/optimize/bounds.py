"""Have the file itself refuse sizes beyond those that its graph holds for.

Works in place, as the last pass: in a finished graph of any opset from 17 on. A runtime checks the indices of a
`Gather`; this one reads the only element of [0] at Max(size - most, 0), and what it reads is added to the shape that an
input is given, so that no optimizer takes it for unused. A `Reshape` copies nothing.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx_ir as ir

from ..errors import CaptureError
from ..spec.signature import Signature


def enforce_bounds(model: ir.Model, signature: Signature, bounds: Mapping[str, Mapping[str, int]]) -> None:
    """Make the graph raise where a named size is beyond its `max`.

    Raises:
        CaptureError: no input that the graph reads has that size.
    """
    for name, bound in bounds.items():
        if "max" in bound:
            _enforce(model.graph, signature, name, bound["max"])


def _enforce(graph: ir.Graph, signature: Signature, name: str, most: int) -> None:
    named = zip(graph.inputs, signature.inputs.values(), strict=False)
    having = [(value, spec.shape.index(name)) for value, spec in named if name in spec.shape and value.uses()]
    if not having:
        raise CaptureError(
            f"The model holds for {name} up to {most} only, and the graph reads no input of that size. "
            f"Use such an input in forward, or give {name} as a number."
        )
    value, axis = having[0]
    first = next(iter(graph))
    tape = ir.tape.Tape()
    size = tape.op("Shape", [value], {"start": axis, "end": axis + 1})
    beyond = tape.op("Sub", [size, _constant(tape, f"{name}.most", most)])
    index = tape.op("Max", [beyond, _constant(tape, f"{name}.zero", 0)])
    zero = tape.op("Gather", [_constant(tape, f"{name}.allowed", 0), index], name=f"{name} is at most {most}")
    shape = tape.op("Add", [tape.op("Shape", [value]), zero])
    checked = tape.op("Reshape", [value, shape])
    for made, suffix in ((size, "size"), (beyond, "beyond"), (index, "index"), (zero, "checked"), (shape, "shape")):
        made.name = f"{name}.{suffix}"
    checked.name, checked.type, checked.shape = f"{value.name}.{name}.checked", value.type, value.shape
    within = set(tape.nodes)
    for use in list(value.uses()):
        if use.node not in within:
            use.node.replace_input_with(use.idx, checked)
    graph.insert_before(first, tape.nodes)
    for constant in tape.initializers:
        graph.register_initializer(constant)


def _constant(tape: ir.tape.Tape, name: str, number: int) -> ir.Value:
    return tape.initializer(ir.tensor(np.array([number], np.int64)), name)
