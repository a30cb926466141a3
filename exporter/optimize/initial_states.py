"""What initial states are before they become inputs: their dtype, shape and value, and the inputs they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from ..errors import CaptureError
from ..spec.dims import infer_dims
from ..spec.signature import Signature
from ..spec.streams import Reset, cannot_stream, reset_of
from .places import StateSlot, captured

Shape = tuple[str | int, ...]

# Sizes that initial states are computed at, to see what they depend on.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


def inputs_behind(value: ir.Value | None, graph: object) -> set[str]:
    """The graph inputs on whose values, and not only sizes, a value depends."""
    found: set[str] = set()
    seen: set[ir.Value] = set()
    open_ends = [value]
    while open_ends:
        value = open_ends.pop()
        if value is None or value in seen:
            continue
        seen.add(value)
        if value.is_graph_input() and value.graph is graph:
            found.add(str(value.name))
        node = value.producer()
        if node is not None and node.op_type not in ("Shape", "Size"):
            open_ends += [*node.inputs, *captured(node)]
    return found


def dtype_of(place: StateSlot) -> ir.DataType:
    value = place.initial or place.node.inputs[0]
    assert value is not None
    if value.dtype is None:  # of a Scan: its body says
        value = place.node.attributes["body"].as_graph().inputs[place.before]
    assert value.dtype is not None
    return value.dtype


def reset_value(model: ir.Model, place: StateSlot, signature: Signature) -> tuple[Shape, Reset]:
    """Shape and value of an initial state that depends on weights and sizes alone.

    Raises:
        CaptureError: its values depend on the sizes, or differ from sequence to sequence.
    """
    if place.initial is None:  # a native operator takes it for zero
        x = place.node.inputs[0]
        assert x is not None
        assert x.shape is not None
        shape = _spell([1, x.shape[1], place.node.attributes["hidden_size"].as_int()], signature)
        if shape is None:
            raise _refusal(place, f"has a size, {x.shape[1]}, that is not a product of the inputs' sizes")
        return shape, 0.0
    sizes = [{name: _PRIMES[(i + k) % len(_PRIMES)] for i, name in enumerate(signature.symbols)} for k in range(3)]
    runs = [_evaluate(model, place.initial, signature, run) for run in sizes]
    # Running it does not tell 6*N from a size that nothing explains, where the graph may know.
    known = None if place.initial.shape is None else _spell([*place.initial.shape], signature)
    shape = known or _spell(infer_dims(sizes, [run.shape for run in runs]), signature)
    if shape is None:
        raise _refusal(place, "has a size that is not a product of the inputs' sizes")
    first = runs[0][tuple(slice(0, 1) if isinstance(dim, str) else slice(None) for dim in shape)]
    if not all(np.array_equal(run, np.broadcast_to(first, run.shape), equal_nan=run.dtype.kind == "f") for run in runs):
        raise _refusal(place, "does not begin the same for every sequence and every size. Take it as an input")
    return shape, reset_of(first)


def _spell(dims: Sequence[int | ir.SymbolicDim | str | None], signature: Signature) -> Shape | None:
    """Numbers, and products such as `6*N` of the inputs' sizes; None if a dimension is something else."""
    texts = [str(dim.value if isinstance(dim, ir.SymbolicDim) else dim).replace(" ", "") for dim in dims]
    factors = {factor for text in texts for factor in text.split("*") if not factor.isdigit()}
    return tuple(int(text) if text.isdigit() else text for text in texts) if factors <= {*signature.symbols} else None


def _refusal(place: StateSlot, why: str) -> CaptureError:
    return cannot_stream(f"the state of layer '{place.layer}' {why}.")


def _evaluate(model: ir.Model, value: ir.Value, signature: Signature, sizes: Mapping[str, int]) -> np.ndarray:
    """A value that depends on the inputs' sizes alone."""
    graph = ir.convenience.extract(model.graph, model.graph.inputs[: len(signature.inputs)], [value])
    proto = ir.to_proto(ir.Model(graph, ir_version=model.ir_version))
    zeros = {name: np.zeros(spec.sized(sizes), spec.dtype) for name, spec in signature.inputs.items()}
    # onnx's own evaluator runs no Scan from the end, which another layer may hold.
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = {given.name for given in session.get_inputs()}
    (result,) = session.run(None, {name: array for name, array in zeros.items() if name in wanted})
    return np.asarray(result)
