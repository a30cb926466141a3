"""PyTorch in place of the files of a pipeline. A hidden state is what was fed so far, of which all is run again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..parity.float64 import computing_in_float64, float64_copy, float_dtype, in_float64
from ..pytorch.outputs import flatten
from ..pytorch.run import as_tensors, run_eager
from ..spec.dims import Dim, parse
from ..spec.pipeline import Begin
from ..spec.signature import Signature
from ..spec.streams import StreamSpec

Array = NDArray[Any]

# What has been fed to a graph: inputs by name, those with the time joined along it.
Fed = Mapping[str, Array]


@dataclass(frozen=True)
class EagerGraph:
    """A module, what goes in and comes out, and how its file is fed in chunks, if it is.

    `dims` are the dimensions of each output.
    """

    model: nn.Module
    signature: Signature
    dims: Mapping[str, Sequence[Dim]]
    stream: StreamSpec | None
    dtype: torch.dtype = torch.float32
    wide: bool = False

    @classmethod
    def of(
        cls, model: nn.Module, signature: Signature, outputs: Mapping[str, str], stream: StreamSpec | None
    ) -> EagerGraph:
        dims = {name: parse(text)[1] for name, text in outputs.items()}
        return cls(model, signature, dims, stream, float_dtype(model))

    def in_float64(self) -> EagerGraph | None:
        """The same in float64; None where the model has no such form."""
        model = float64_copy(self.model)
        return None if model is None else replace(self, model=model, wide=True)

    @property
    def hidden(self) -> dict[str, str]:
        """The states that the file has and the module keeps to itself, and their outputs."""
        states = () if self.stream is None else self.stream.states
        return {state.name: state.output for state in states if state.name not in self.signature.inputs}

    def run(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """The outputs by name."""
        if not self.hidden:
            return self._run(inputs)
        assert self.stream is not None
        before = next(inputs[name] for name in self.hidden)
        given = {name: inputs[name] for name in self.signature.inputs}
        whole = {name: self._joined(name, before, array) for name, array in given.items()}
        outputs = {name: self._last(name, value, whole, given) for name, value in self._run(whole).items()}
        return {**outputs, **dict.fromkeys(self.hidden.values(), whole)}

    def _run(self, inputs: Fed) -> dict[str, Array]:
        tensors = as_tensors({name: np.ascontiguousarray(inputs[name]) for name in self.signature.inputs})
        with self._precision():
            found = run_eager(self.model, in_float64(tensors) if self.wide else tensors)
        values = [tensor.detach().cpu().numpy() for _, tensor in flatten(found)]
        return dict(zip(self.signature.outputs, values, strict=True))

    def _precision(self) -> AbstractContextManager[None]:
        return computing_in_float64(self.dtype) if self.wide else nullcontext()

    def _axis(self, name: str) -> int | None:
        assert self.stream is not None
        shape = self.signature.inputs[name].shape
        return shape.index(self.stream.time) if self.stream.time in shape else None

    def _joined(self, name: str, before: Fed | None, array: Array) -> Array:
        if before is None:
            return array
        axis = self._axis(name)
        if axis is not None:
            return np.concatenate([before[name], array], axis)
        return before[name] if name in self.signature.states else array

    def _last(self, name: str, value: Array, whole: Fed, given: Fed) -> Array:
        """Of an output for all that was fed, that of the last chunk."""
        assert self.stream is not None
        steps = next(array.shape[axis] for each, array in given.items() if (axis := self._axis(each)) is not None)
        for axis, dim in enumerate(self.dims[name]):
            if isinstance(dim, str) and self.stream.time in dim.split("*"):
                return np.take(value, range(value.shape[axis] - steps, value.shape[axis]), axis)
        return value


class EagerGraphs:
    """Runs modules as `spec.decoding` wants graphs run."""

    def __init__(self, graphs: Mapping[str, EagerGraph]) -> None:
        self._graphs = graphs

    def begin(self, graph: str, state: str, begin: Begin) -> Any:
        return None if state in self._graphs[graph].hidden else begin.array()

    def run(self, graph: str, inputs: Mapping[str, Any]) -> dict[str, Any]:
        return self._graphs[graph].run(inputs)
