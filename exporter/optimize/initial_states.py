"""Initial states before they become inputs: their dtype, shape and value, and the inputs they depend on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from ..errors import CaptureError
from ..spec.dims import infer_dims
from ..spec.signature import Signature
from ..spec.streams import Reset, cannot_stream, reset_of
from .graph import captured
from .recurrent_states import StateSlot

Shape = tuple[str | int, ...]

# Sizes to compute initial states at, to see what they depend on.
_PRIMES = (2, 3, 5, 7, 11, 13, 17, 19)


def inputs_behind(value: ir.Value | None, graph: object) -> set[str]:
    """The graph inputs whose values, not only their sizes, a value depends on."""
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


def dtype_of(slot: StateSlot) -> ir.DataType:
    value = slot.initial or slot.node.inputs[0]
    assert value is not None
    if value.dtype is None:  # a Scan's: its body knows it
        value = slot.node.attributes["body"].as_graph().inputs[slot.before]
    assert value.dtype is not None
    return value.dtype


def reset_value(model: ir.Model, slot: StateSlot, signature: Signature) -> tuple[Shape, Reset]:
    """Shape and value of an initial state that depends only on weights and sizes.

    Raises:
        CaptureError: its values depend on the sizes, or differ from sequence to sequence.
    """
    if slot.initial is None:  # zero, by the operator's definition
        x = slot.node.inputs[0]
        assert x is not None
        assert x.shape is not None
        shape = _spell([1, x.shape[1], slot.node.attributes["hidden_size"].as_int()], signature)
        if shape is None:
            raise _refusal(slot, f"has a size, {x.shape[1]}, that is not a product of the inputs' sizes")
        return shape, 0.0
    sizes = [{name: _PRIMES[(i + k) % len(_PRIMES)] for i, name in enumerate(signature.symbols)} for k in range(3)]
    runs = [_evaluate(model, slot.initial, signature, run) for run in sizes]
    # Runs cannot tell 6*N from a size that nothing explains; the graph may know.
    known = None if slot.initial.shape is None else _spell([*slot.initial.shape], signature)
    shape = known or _spell(infer_dims(sizes, [run.shape for run in runs]), signature)
    if shape is None:
        raise _refusal(slot, "has a size that is not a product of the inputs' sizes")
    first = runs[0][tuple(slice(0, 1) if isinstance(dim, str) else slice(None) for dim in shape)]
    if not all(np.array_equal(run, np.broadcast_to(first, run.shape), equal_nan=run.dtype.kind == "f") for run in runs):
        raise _refusal(slot, "does not begin the same for every sequence and every size. Make it an input")
    return shape, reset_of(first)


def _spell(dims: Sequence[int | ir.SymbolicDim | str | None], signature: Signature) -> Shape | None:
    """A shape in numbers and products of the inputs' sizes, such as `6*N`; None if a dimension is something else."""
    texts = [str(dim.value if isinstance(dim, ir.SymbolicDim) else dim).replace(" ", "") for dim in dims]
    factors = {factor for text in texts for factor in text.split("*") if not factor.isdigit()}
    return tuple(int(text) if text.isdigit() else text for text in texts) if factors <= {*signature.symbols} else None


def _refusal(slot: StateSlot, why: str) -> CaptureError:
    return cannot_stream(f"the state of layer '{slot.layer}' {why}.")


def _evaluate(model: ir.Model, value: ir.Value, signature: Signature, sizes: Mapping[str, int]) -> np.ndarray:
    """Compute a value that depends only on the inputs' sizes."""
    graph = ir.convenience.extract(model.graph, model.graph.inputs[: len(signature.inputs)], [value])
    proto = ir.to_proto(ir.Model(graph, ir_version=model.ir_version))
    zeros = {name: np.zeros(spec.sized(sizes), spec.dtype) for name, spec in signature.inputs.items()}
    # onnx's reference evaluator cannot run a Scan from the end, which another layer may be.
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    wanted = {given.name for given in session.get_inputs()}
    (result,) = session.run(None, {name: array for name, array in zeros.items() if name in wanted})
    return np.asarray(result)
