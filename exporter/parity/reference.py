"""Compute what PyTorch returns for a case: in the model's own precision, in float64 as the reference, and jittered.

A jittered run shows how far apart two equally careful implementations may be, by making PyTorch a slightly different
implementation of itself. It moves every input value by up to sqrt(K)/2 ulps, where K is the length of its last
dimension: a sum of K products drifts that far when its rounding errors are random (Higham, Accuracy and Stability of
Numerical Algorithms, 2.8). And it moves every result of tanh, sigmoid and of a recurrent layer that ends in them by up
to an ulp of 1, which matters where a model's values are small: a library may compute these functions to an absolute
accuracy, as ONNX Runtime does. Over -20..20 its Tanh is within 2.7e-7 of the true value and its Sigmoid within 1.7e-7,
whatever the result; PyTorch's are within half an ulp of the result.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from math import sqrt
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ..errors import first_line
from ..pytorch.outputs import flatten
from ..pytorch.run import as_tensors, run_eager
from ..spec.signature import Signature
from .compare import largest_error

Array = NDArray[np.generic]
Result = TypeVar("Result")

JITTERS = 4

# Saturated values have many equal maxima, and each run shows only some of the integer outputs that depend on them.
JITTERS_AT_TIES = 16

# Below this many parameters one thread is as fast, and does not wait for others on a busy machine: hetero took 7 s with
# one thread, and 21 to 89 s with two beside four busy processes on two cores.
_THREADED_FROM = 10_000_000

_BOUNDED = {
    torch.tanh,
    torch.sigmoid,
    torch.Tensor.tanh,
    torch.Tensor.sigmoid,
    torch.nn.functional.tanh,
    torch.nn.functional.sigmoid,
    torch.rnn_tanh,
    torch.gru,
    torch.lstm,
}


class RefusedError(Exception):
    """PyTorch itself raises for a case."""


@dataclass(frozen=True)
class Reference:
    """What PyTorch computes for one case, by output.

    `eager` is in the model's own precision, `exact` in float64; None where the model has no float64 form. `eager_error`
    is PyTorch's largest error against `exact`, over the case and its jittered runs. `unsettled` marks the elements of
    integer outputs that change in a jittered run, such as the index of one of two equal maxima.
    """

    eager: Mapping[str, Array]
    exact: Mapping[str, Array] | None
    eager_error: Mapping[str, float]
    unsettled: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)


class Oracle:
    """Runs a model in its own precision and in float64.

    The float64 form is a copy with float64 weights, run with float64 as the default dtype, so that tensors that the
    model creates without naming a dtype are float64 too.
    """

    def __init__(self, model: nn.Module, signature: Signature) -> None:
        self._model = model
        self._signature = signature
        self._float64 = _float64_copy(model)
        size = sum(parameter.numel() for parameter in model.parameters())
        self._threads = torch.get_num_threads() if size >= _THREADED_FROM else 1

    def threads(self) -> AbstractContextManager[None]:
        """Within the block PyTorch has as many threads as suit the model's size."""
        return _threads(self._threads)

    def compute(self, inputs: Mapping[str, Array], jitters: int = JITTERS) -> Reference:
        """The outputs for one case, and their errors over this many jittered runs.

        Raises:
            RefusedError: PyTorch raises for these inputs.
        """
        tensors = as_tensors(inputs)
        with self.threads():
            return self._compute(tensors, jitters)

    def eager(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs for one case in the model's own precision only.

        Raises:
            RefusedError: PyTorch raises for these inputs.
        """
        with self.threads():
            return self._eager(as_tensors(inputs))

    def in_both(
        self, run: Callable[[nn.Module, Mapping[str, Tensor]], Result], inputs: Mapping[str, Array]
    ) -> tuple[Result, Result | None]:
        """Call `run` on the model in its own precision, and in float64; None where it has no float64 form."""
        tensors = as_tensors(inputs)
        with self.threads():
            eager = run(self._model, tensors)
            if self._float64 is None:
                return eager, None
            with _default_dtype(torch.float64):
                return eager, run(self._float64, _in_float64(tensors))

    def _eager(self, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
        try:
            return self._named(run_eager(self._model, tensors))
        except Exception as error:  # whatever the model's forward raises
            raise RefusedError(f"{type(error).__name__}: {first_line(error)}") from error

    def _compute(self, tensors: Mapping[str, Tensor], jitters: int) -> Reference:
        named, exact = self._eager(tensors), self._exact(tensors)
        if exact is not None and any(named[name].shape != exact[name].shape for name in named):
            # The shape depends on a rounding here, so float64 is no reference.
            exact = None
        runs = [named, *filter(None, (self._jittered(tensors, seed) for seed in range(jitters)))]
        floats = [name for name, array in named.items() if np.issubdtype(array.dtype, np.floating)]
        eager_error = (
            {}
            if exact is None
            else {name: max(largest_error(run[name], exact[name]) for run in runs) for name in floats}
        )
        unsettled = {name: _changed([run[name] for run in runs]) for name in named if name not in floats}
        return Reference(named, exact, eager_error, unsettled)

    def _exact(self, tensors: Mapping[str, Tensor]) -> dict[str, Array] | None:
        if self._float64 is None:
            return None
        try:
            with _default_dtype(torch.float64):
                return self._named(run_eager(self._float64, _in_float64(tensors)))
        except Exception:  # a model that names float32 in its forward has no float64 form; the report says so
            self._float64 = None
            return None

    def _jittered(self, tensors: Mapping[str, Tensor], seed: int) -> dict[str, Array] | None:
        jitter = Jitter(seed)
        jittered = dict(zip(tensors, jitter.inputs(list(tensors.values())), strict=True))
        try:
            with jitter:
                return self._named(run_eager(self._model, jittered))
        except Exception:  # a model that checks its values may refuse jittered ones
            return None

    def _named(self, output: Any) -> dict[str, Array]:
        leaves = [tensor.detach().cpu().numpy().copy() for _, tensor in flatten(output)]
        return dict(zip(self._signature.outputs, leaves, strict=True))


def _in_float64(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in tensors.items()}


def _changed(runs: list[Array]) -> NDArray[np.bool_]:
    """Which elements of the first run differ in any other run of the same shape."""
    changed = np.zeros(runs[0].shape, bool)
    for run in runs[1:]:
        if run.shape == changed.shape:
            changed |= run != runs[0]
    return changed


def _float64_copy(model: nn.Module) -> nn.Module | None:
    # Parameters are copied as float64 at once, which saves a second copy of all weights.
    memo: dict[int, Any] = {
        id(parameter): nn.Parameter(parameter.detach().double(), requires_grad=False)
        for parameter in model.parameters()
        if type(parameter) is nn.Parameter and parameter.is_floating_point()
    }
    try:
        return copy.deepcopy(model, memo).double()
    except Exception:  # a model that cannot be copied has no float64 form; the report says so
        return None


class Jitter(TorchFunctionMode):
    """Context manager that moves the results of bounded activations slightly, reproducibly from a seed."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._generator = torch.Generator().manual_seed(seed)

    def inputs(self, tensors: Sequence[Tensor]) -> list[Tensor]:
        """Every floating-point value times 1 + d, d uniform within sqrt(K)/2 ulps of 1; K is the last dimension."""
        return [self._scaled(tensor) if tensor.is_floating_point() else tensor for tensor in tensors]

    def _scaled(self, tensor: Tensor) -> Tensor:
        ulps = 0.5 * sqrt(tensor.shape[-1] if tensor.dim() else 1)
        return (tensor.double() * (1 + self._noise(tensor, ulps))).to(tensor.dtype)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        return self._moved(result) if func in _BOUNDED else result

    def _moved(self, result: Any) -> Any:
        if isinstance(result, Tensor):
            return (result.double() + self._noise(result, 1.0)).to(result.dtype)
        return type(result)(self._moved(part) for part in result)

    def _noise(self, tensor: Tensor, ulps: float) -> Tensor:
        uniform = torch.rand(tensor.shape, generator=self._generator, dtype=torch.float64) * 2 - 1
        return uniform * (ulps * torch.finfo(tensor.dtype).eps)


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _default_dtype(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
