"""Compute what PyTorch returns for a case: in the model's own precision, in float64 as the reference, and jittered."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import first_line
from ..pytorch.embedding_rows import says_rows
from ..pytorch.outputs import flatten
from ..pytorch.randomness import check_same_answer, other_generators, watching
from ..pytorch.run import as_tensors, run_eager
from ..pytorch.threads import torch_threads
from ..spec.signature import Signature
from .float64 import computing_in_float64, float64_copy, float_dtype, in_float64, representable
from .jitter import Jitter
from .other_library import other_libraries

Array = NDArray[np.generic]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Inputs = Mapping[str, Array]
Result = TypeVar("Result")

JITTERS = 4

# Saturated values have many equal maxima, and each run shows only some of the integer outputs that depend on them.
JITTERS_AT_TIES = 16

# Below this many parameters one thread is as fast, and does not wait for others on a busy machine: hetero took 7 s with
# one thread, and 21 to 89 s with two beside four busy processes on two cores.
_THREADED_FROM = 10_000_000


class RefusedError(Exception):
    """PyTorch itself raises for a case."""


@dataclass(frozen=True)
class Reference:
    """What PyTorch computes for one case, by output.

    `eager` is in the model's own precision, `exact` in float64; None where the model has no float64 form. By element of
    a floating-point output, `eager_error` is PyTorch's largest error against `exact`, over the case and its jittered
    runs, `spread` how far a jittered run moves the result, and `still` whether it has the same bits in all of these
    runs and for other inputs. `unsettled` marks the elements of integer outputs that change in a jittered run, such as
    the index of one of two equal maxima, and those of other outputs whose being finite is up to the library.
    """

    eager: Mapping[str, Array]
    exact: Mapping[str, Array] | None
    eager_error: Mapping[str, Floats] = field(default_factory=dict)
    spread: Mapping[str, Floats] = field(default_factory=dict)
    still: Mapping[str, Mask] = field(default_factory=dict)
    unsettled: Mapping[str, Mask] = field(default_factory=dict)

    def exact_of(self, output: str) -> Array | None:
        """The output in float64; None where that is no reference."""
        return None if self.exact is None else self.exact.get(output)


class Oracle:
    """Runs a model in its own precision and in float64.

    What a model creates in its forward is float64 too in its float64 form, whether it names a dtype or not.
    """

    def __init__(self, model: nn.Module, signature: Signature) -> None:
        self._model = model
        self._signature = signature
        self._dtype = float_dtype(model)
        size = sum(parameter.numel() for parameter in model.parameters())
        self._threads = torch.get_num_threads() if size >= _THREADED_FROM else 1

    @cached_property
    def _float64(self) -> nn.Module | None:
        """Copied where it is needed first: further sizes seldom need it."""
        return float64_copy(self._model)

    def threads(self) -> AbstractContextManager[None]:
        """Within the block PyTorch has as many threads as suit the model's size."""
        return torch_threads(self._threads)

    def compute(self, inputs: Inputs, jitters: int = JITTERS, others: Sequence[Inputs] = ()) -> Reference:
        """The outputs for one case, and how far this many jittered runs move them.

        Args:
            others: other inputs of the same sizes, which tell what stands still; with none, nothing does.

        Raises:
            RefusedError: PyTorch raises for these inputs.
            LoadError: the model draws random numbers, or gives another answer to the same inputs.
        """
        with self.threads():
            return self._compute(as_tensors(inputs), jitters, [as_tensors(other) for other in others])

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
            with computing_in_float64(self._dtype):
                return eager, run(self._float64, in_float64(tensors))

    def _eager(self, tensors: Mapping[str, Tensor]) -> dict[str, Array]:
        try:
            return self._named(run_eager(self._model, tensors))
        except Exception as error:  # whatever the model's forward raises
            rows = says_rows(error, self._model, tensors)
            why = f"{type(error).__name__}: {first_line(error)}"
            raise RefusedError(f"{why}; {rows}" if rows else why) from error

    def _compute(
        self, tensors: Mapping[str, Tensor], jitters: int, others: Sequence[Mapping[str, Tensor]]
    ) -> Reference:
        with watching():
            named = self._eager(tensors)
        with other_generators():
            check_same_answer(named, self._eager(tensors))
        exact = self._exact(tensors)
        if exact is not None and any(named[name].shape != exact[name].shape for name in named):
            # The shape depends on a rounding here, so float64 is no reference.
            exact = None
        jittered = [*filter(None, (self._jittered(tensors, seed) for seed in range(jitters)))]
        elsewhere = self._elsewhere(others)
        if exact is not None:
            exact = {name: representable(array, named[name].dtype) for name, array in exact.items()}
        errors, spread, still = {}, {}, {}
        unsettled = self._other_classes(tensors, named)
        for name, eager in named.items():
            moved = [run[name] for run in jittered]
            if not np.issubdtype(eager.dtype, np.floating):
                unsettled[name] = _changed([eager, *moved])
                continue
            spread[name] = distance(moved, eager)
            still[name] = _still(name, eager, exact, jittered, elsewhere)
            if exact is not None:
                errors[name] = distance([eager, *moved], exact[name])
        return Reference(named, exact, errors, spread, still, unsettled)

    def _elsewhere(self, others: Sequence[Mapping[str, Tensor]]) -> list[dict[str, Array]]:
        """The outputs for other inputs; none where PyTorch refuses some of these."""
        try:
            return [self._eager(tensors) for tensors in others]
        except RefusedError:
            return []

    def _other_classes(self, tensors: Mapping[str, Tensor], named: Mapping[str, Array]) -> dict[str, Mask]:
        """By output, where another library may have NaN, an infinity or a number in the place of another of these."""
        if all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values()):
            return {}
        changed = {name: np.zeros(array.shape, bool) for name, array in named.items() if array.dtype.kind == "f"}
        for library in other_libraries():
            try:
                with library:
                    run = self._named(run_eager(self._model, tensors))
            except Exception:  # a model that checks its values may refuse these
                return {}
            for name, mask in changed.items():
                if run[name].shape == mask.shape:
                    np.logical_or(mask, _class_of(run[name]) != _class_of(named[name]), out=mask)
        return {name: found for name, found in changed.items() if found.any()}

    def _exact(self, tensors: Mapping[str, Tensor]) -> dict[str, Array] | None:
        if self._float64 is None:
            return None
        try:
            with computing_in_float64(self._dtype):
                return self._named(run_eager(self._float64, in_float64(tensors)))
        except Exception:  # a model that insists on its dtype has no float64 form; the report says so
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


def distance(runs: Sequence[Array], target: Array) -> Floats:
    """By element the largest distance of a run from the target, where both are finite; other shapes are left out."""
    largest = np.zeros(target.shape)
    target = target.astype(np.float64)
    for run in runs:
        if run.shape == largest.shape:
            finite = np.isfinite(run) & np.isfinite(target)
            away = np.abs(np.where(finite, run, 0).astype(np.float64) - np.where(finite, target, 0))
            np.maximum(largest, away, out=largest)
    return largest


def _still(
    name: str,
    eager: Array,
    exact: Mapping[str, Array] | None,
    jittered: Sequence[Mapping[str, Array]],
    elsewhere: Sequence[Mapping[str, Array]],
) -> Mask:
    """By element whether every run gives the same bits."""
    if exact is None or not elsewhere:
        return np.zeros(eager.shape, bool)
    runs = [exact[name], *(run[name] for run in (*jittered, *elsewhere))]
    return ~_changed([eager, *runs]) if all(run.shape == eager.shape for run in runs) else np.zeros(eager.shape, bool)


def _class_of(array: Array) -> Array:
    """3 for NaN, the sign of infinite elements, 0 for finite ones."""
    signs = np.where(np.isinf(array), np.sign(np.nan_to_num(array)), 0)
    return np.asarray(np.where(np.isnan(array), 3, signs))


def _changed(runs: Sequence[Array]) -> Mask:
    """Which elements of the first run differ in any other run of the same shape."""
    changed = np.zeros(runs[0].shape, bool)
    for run in runs[1:]:
        if run.shape == changed.shape:
            changed |= run != runs[0]
    return changed
