"""The example in the package's documentation is what the passes make of it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from graphs import Array, check_same, parse
from rnn_export import Signature
from rnn_export.optimize import loops
from rnn_export.optimize.graph import subgraphs

RANDOM = np.random.default_rng(0)
SHAPES = {"W": (3, 4), "U": (4, 4), "b": (4,), "V": (4, 2)}
SIGNATURE = Signature({"h0": "float32[N, 4]", "x": "float32[T, N, 3]", "g": "float32[4]"})
Numbers = dict[ir.Value | None, str]


def _arrays(shapes: dict[str, tuple[int, ...]]) -> dict[str, Array]:
    return {name: RANDOM.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


def _spelled(graph: ir.Graph, names: Numbers) -> list[object]:
    """The nodes of a graph and of the bodies in it, with values numbered as they appear; weights keep their names."""
    names |= {value: f"%{len(names) + i}" for i, value in enumerate(graph.inputs)}
    rows: list[object] = []
    for node in graph:
        bodies = [_spelled(body, names) for body in subgraphs(node)]
        inputs = [value.name if value and value.is_initializer() else names[value] for value in node.inputs]
        names |= {value: f"%{len(names) + i}" for i, value in enumerate(node.outputs)}
        rows.append((node.op_type, inputs, bodies, len(node.outputs)))
    return [*rows, [names[value] for value in graph.outputs]]


def test_before_and_after() -> None:
    blocks = [block for block in (loops.__doc__ or "").split("\n\n") if block.startswith("    main")]
    weights = _arrays(SHAPES)
    before, after = (parse(block, weights) for block in blocks)
    optimized = check_same(before, _arrays({"h0": (2, 4), "x": (5, 2, 3), "g": (4,)}), SIGNATURE)
    assert _spelled(optimized.graph, {}) == _spelled(after.graph, {})
    assert _spelled(before.graph, {}) != _spelled(after.graph, {})
