"""Inputs to compare a pipeline with: one sequence each, of several lengths, and chunks of it for a stream."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError, first_line
from ..pytorch.made_cases import MadeCases
from ..pytorch.run import as_tensors
from ..pytorch.samples import Case, make_inputs
from ..spec.pipeline import GIVEN, Checked, Pipeline, Transducer
from ..spec.signature import Signature, TensorSpec
from .compare import Comparison, Inputs, Reference
from .wire import Written

Array = NDArray[np.generic]

# Beyond the least size: short, long and in between.
_LENGTHS = (7, 1, 2, 23, 40, 5, 12, 64)
_LEAST = 3


@dataclass(frozen=True)
class Drawn:
    """Where a pipeline's inputs come from: drawn from the ranges that the graphs take, or made by the caller."""

    pipeline: Pipeline
    graphs: Mapping[str, Written]
    batch: str
    made: MadeCases | None
    seed: int

    def compare(self, comparison: Comparison) -> Checked:
        """Compare with inputs of all lengths.

        Raises:
            ParityError: the files decode something else than PyTorch.
            InputError: PyTorch does not run most of them.
        """
        why = ""
        for k, inputs in enumerate(self._all()):
            refused = comparison.runs(inputs)
            if refused:
                why = why or refused
                continue
            comparison.compare(inputs, self.seed + k)
            time = self._time
            if time is not None:
                comparison.compare_chunks(inputs, self._chunks(inputs, time, self.seed + k))
        checked = comparison.checked()
        if checked.sequences < _LEAST:
            raise InputError(f"PyTorch runs the pipeline for {checked.sequences} of {len(_LENGTHS)} inputs: {why}.")
        return checked

    @property
    def signature(self) -> Signature:
        """What is given to the pipeline, for one sequence."""
        found: dict[str, TensorSpec] = {}
        for graph, name, feed in self.pipeline.feeds():
            if feed.source.startswith(GIVEN):
                spec = self.graphs[graph].inputs[name].fixed({self.batch: 1})
                found.setdefault(feed.source.removeprefix(GIVEN), spec)
        return Signature(found)

    def _all(self) -> list[dict[str, Array]]:
        signature = self.signature
        least = self._least()
        found = []
        for k in range(len(_LENGTHS)):
            sizes = {
                name: least.get(name, 1) - 1 + _LENGTHS[(k + i) % len(_LENGTHS)]
                for i, name in enumerate(signature.symbols)
            }
            case = Case(sizes, "ordinary", self.seed + k)
            found.append(make_inputs(signature, case) if self.made is None else self.made.inputs(signature, case))
        return found

    def _least(self) -> dict[str, int]:
        bounds = [bound.items() for graph in self.graphs.values() for bound in [graph.artifact.bounds]]
        return {name: ends["min"] for items in bounds for name, ends in items if "min" in ends}

    @property
    def _time(self) -> str | None:
        """The dimension that chunks are cut along, where the graphs that run once carry states."""
        once = [self.graphs[name].artifact.stream for name, graph in self.pipeline.graphs.items() if not graph.runs]
        found = [stream.time for stream in once if stream is not None]
        return found[0] if found and None not in once and isinstance(self.pipeline.decoding, Transducer) else None

    def _chunks(self, inputs: Inputs, time: str, seed: int) -> list[Inputs]:
        axes = {name: spec.shape.index(time) for name, spec in self.signature.inputs.items() if time in spec.shape}
        length = next(inputs[name].shape[axis] for name, axis in axes.items())
        cuts = sorted({0, length, *np.random.default_rng(seed).integers(1, length + 1, 3)})
        return [
            {name: _cut(array, axes.get(name), begin, end) for name, array in inputs.items()}
            for begin, end in pairwise(cuts)
        ]


def _cut(array: Array, axis: int | None, begin: int, end: int) -> Array:
    return array if axis is None else np.take(array, range(begin, end), axis)


def as_called(reference: Callable[..., Any] | None) -> Reference | None:
    """The user's decoder, called with arrays."""
    if reference is None:
        return None

    def call(inputs: Inputs) -> list[int]:
        try:
            found = reference(**{name: tensor.clone() for name, tensor in as_tensors(inputs).items()})
        except Exception as error:  # whatever the user's code raises
            raise InputError(f"The reference raised {type(error).__name__}: {first_line(error)}.") from error
        tokens = found.reshape(-1).tolist() if isinstance(found, Tensor) else list(found)
        if not all(isinstance(token, int) for token in tokens):
            raise InputError(f"The reference returned {str(found)[:80]}. Return the tokens of one sequence.")
        return tokens

    return call
