"""Run a graph at several sizes, to know the shape and the elements of every value as they follow from the sizes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

import numpy as np
import onnx_ir as ir
import onnxruntime as ort

from ...spec.signature import Signature
from ..graph import Array
from ..tried_session import tried_session

Sizes = Mapping[str, int]

# Numbers of steps to run at, in units of what strides need. Longer ones are for kernels that reach further, the last
# for models that take few steps.
_STEPS = ((13, 17, 23), (61, 67, 71), (331, 337, 347), (5, 7, 11))

# Sizes of the other dimensions: the first belong to the first three runs, the others to a run each.
_OTHERS = ((3, 5, 7, 11), (4, 9, 13, 5), (2, 7, 3, 19))


@dataclass(frozen=True)
class Measured:
    """What every value of a graph was, by name, at the sizes of each run; the first three differ in the time alone."""

    sizes: Sequence[Sizes]
    runs: Sequence[Mapping[str, Array]]

    def arrays(self, value: ir.Value | None) -> list[Array]:
        """A value in each run; empty if it was not measured."""
        if value is None:
            return []
        if value.const_value is not None:
            return [value.const_value.numpy()] * len(self.runs)
        return [run[str(value.name)] for run in self.runs if str(value.name) in run]

    def dims(self, value: ir.Value, axis: int) -> list[int]:
        return [array.shape[axis] for array in self.arrays(value)]

    def varies(self, numbers: Sequence[int]) -> bool:
        """Whether numbers, one of each run, depend on the time."""
        return len({*numbers[:3]}) > 1

    def varying_axes(self, value: ir.Value) -> list[int]:
        """The axes of a value whose lengths depend on the time."""
        arrays = self.arrays(value)
        return [axis for axis in range(arrays[0].ndim) if self.varies([array.shape[axis] for array in arrays])]

    def spell(self, lengths: Sequence[int]) -> str | int | None:
        """A size that does not depend on the time, as a number, a name or a product such as `6*N`."""
        if len({*lengths}) == 1:
            return lengths[0]
        symbols = list(self.sizes[0])
        for count in range(1, len(symbols) + 1):
            for names in combinations(symbols, count):
                factors = {
                    (length % (whole := prod(run[name] for name in names)), length // whole)
                    for run, length in zip(self.sizes, lengths, strict=True)
                }
                if len(factors) == 1 and next(iter(factors))[0] == 0:
                    many = next(iter(factors))[1]
                    return "*".join(names if many == 1 else (str(many), *names))
        return None


def measure(model: ir.Model, signature: Signature, time: str, unit: int) -> Measured | None:
    """Run the graph at multiples of `unit` steps; None where ONNX Runtime cannot at any sizes that are tried."""
    session = tried_session(_with_all_values(model, signature))
    for steps in _STEPS:
        sizes = _sizes(signature, time, [unit * many for many in steps])
        try:
            return Measured(sizes, [_run(session, signature, each, seed) for seed, each in enumerate(sizes)])
        except Exception:  # onnxruntime raises classes of its own that have no common base
            continue
    return None


def measure_at(model: ir.Model, signature: Signature, sizes: Sequence[Sizes]) -> Measured:
    """Run the graph at these sizes, or raise what ONNX Runtime does where it cannot.

    Its inputs are those of the signature in their order, whatever they are called.
    """
    session = tried_session(_with_all_values(model, signature))
    names = _names(model.graph.inputs[: len(signature.inputs)])
    rows = [dict(zip(names, drawn(signature, each, seed).values(), strict=True)) for seed, each in enumerate(sizes)]
    return Measured(sizes, [_fed(session, inputs) for inputs in rows])


def measure_values(
    model: ir.Model, signature: Signature, sizes: Sequence[Sizes], names: Sequence[str]
) -> list[list[Array]]:
    """Values by name, each in every run, of another form of a graph that was measured at these sizes."""
    graph = ir.convenience.extract(model.graph, [*signature.inputs], names)
    session = tried_session(ir.Model(graph, ir_version=model.ir_version))
    runs = [_run(session, signature, each, seed) for seed, each in enumerate(sizes)]
    return [[run[name] for run in runs] for name in names]


def _with_all_values(model: ir.Model, signature: Signature) -> ir.Model:
    """A copy whose outputs are all values of the main graph."""
    inputs = model.graph.inputs[: len(signature.inputs)]
    values = [value for node in model.graph for value in node.outputs if value.name and _is_tensor(value)]
    graph = ir.convenience.extract(model.graph.clone(), [str(value.name) for value in inputs], _names(values))
    return ir.Model(graph, ir_version=model.ir_version)


def _names(values: Iterable[ir.Value]) -> list[str]:
    return [str(value.name) for value in values]


def _is_tensor(value: ir.Value) -> bool:
    return value.type is None or isinstance(value.type, ir.TensorType)


def _sizes(signature: Signature, time: str, steps: Sequence[int]) -> list[dict[str, int]]:
    others = [name for name in signature.symbols if name != time]
    rows = [dict(zip(others, row * len(others), strict=False)) for row in _OTHERS]
    runs = [{**rows[0], time: many} for many in steps]
    return [
        {name: run[name] for name in signature.symbols}
        for run in (*runs, *({**row, time: steps[0]} for row in rows[1:]))
    ]


def _run(session: ort.InferenceSession, signature: Signature, sizes: Sizes, seed: int) -> dict[str, Array]:
    return _fed(session, drawn(signature, sizes, seed))


def drawn(signature: Signature, sizes: Sizes, seed: int) -> dict[str, Array]:
    """Elements of every input."""
    random = np.random.default_rng(seed)
    inputs: dict[str, Array] = {}
    for name, spec in signature.inputs.items():
        shape = spec.sized(sizes)
        free = spec.is_float and not spec.floats
        inputs[name] = (random.standard_normal(shape) if free else np.full(shape, spec.filler)).astype(spec.dtype)
    return inputs


def _fed(session: ort.InferenceSession, inputs: Mapping[str, Array]) -> dict[str, Array]:
    """The inputs and all outputs by name."""
    wanted = {given.name for given in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    got = session.run(names, {name: array for name, array in inputs.items() if name in wanted})
    return {**inputs, **dict(zip(names, map(np.asarray, got), strict=True))}
