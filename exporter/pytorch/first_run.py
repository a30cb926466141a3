"""Run a model for the first time: at small sizes, or at larger ones where it needs them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import LoadError, SignatureError
from ..spec.signature import Signature
from .evaluation import check_deterministic
from .least_sizes import first_running, least_sizes
from .made_cases import MadeCases
from .randomness import RandomError
from .related_sizes import equal_sizes, following_size
from .run import check_runs, run_eager
from .samples import Case, make_inputs, traced_sizes
from .state_sizes import has_wrong_batch

Array = NDArray[np.generic]


_ALIKE = (
    "{} and {} have to be equal: PyTorch runs the model only where they are. Name them alike in the inputs, or change "
    "their places in an input that has time and batch the other way round."
)


@dataclass(frozen=True)
class Trial:
    """A model in evaluation mode, and what its inputs are made from."""

    model: nn.Module
    signature: Signature
    example: Mapping[str, Array] | None
    made: MadeCases | None
    seed: int

    def inputs(self, case: Case) -> dict[str, Array]:
        """The inputs of an ordinary case.

        Raises:
            InputError: the caller's function does not make them.
        """
        if self.made is not None:
            return self.made.inputs(self.signature, case)
        return make_inputs(self.signature, case, self.example)

    def tensors(self, sizes: Mapping[str, int], call: int = 0) -> dict[str, Tensor]:
        """The inputs at these sizes, other ones for each of many calls."""
        inputs = self.inputs(Case(sizes, "ordinary", self.seed + call))
        return {name: torch.from_numpy(inputs[name].copy()) for name in self.signature.inputs}

    def runs(self, sizes: Mapping[str, int]) -> bool:
        """Whether PyTorch runs the model at these sizes."""
        try:
            run_eager(self.model, self.tensors(sizes))
        except Exception:  # whatever the model's forward raises
            return False
        return True

    def least(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """The least size of each symbol that has one above 1; `sizes` run. A caller's function may not make those."""
        return {} if self.made is not None else least_sizes(self.runs, sizes)

    def beyond(self, least: Mapping[str, int], sizes: Mapping[str, int]) -> Mapping[str, int]:
        """Sizes to capture the model at: counted from the least ones, so that none has become 1 in the middle."""
        counted = traced_sizes(self.signature, self.example, least) if least else sizes
        return counted if counted == sizes or self.runs(counted) else sizes


@dataclass(frozen=True)
class FirstRun:
    """Where a model ran, the least sizes at which it does, and what came of it.

    `carries_state` says that the model keeps something from call to call.
    """

    sizes: Mapping[str, int]
    least: Mapping[str, int]
    tensors: dict[str, Tensor]
    output: Any
    carries_state: bool


def first_run(trial: Trial, small: Mapping[str, int]) -> FirstRun:
    """Run a model at small sizes, or at the first larger ones that it takes.

    Raises:
        LoadError: its forward raises at every size that is tried, or is not deterministic.
        SignatureError: no sizes that are tried fit, or one has to be that of another, or follow from it.
    """
    sizes: Mapping[str, int] | None = small if trial.signature.fits(small) else first_running(trial.runs, small)
    if sizes is None:
        raise SignatureError("At no sizes that were tried are all that follow from others at least 1. Give an example.")
    try:
        checked = check_deterministic(trial.model, trial.tensors(sizes))
    except RandomError:
        raise  # noise that fades over many steps would pass for a rounding at a larger size
    except LoadError as refused:
        # Larger sizes, or two that are alike, would hide the fault.
        mistaken = has_wrong_batch(str(refused.__cause__), trial.tensors(sizes))
        larger = None if mistaken or trial.example is not None else _larger(trial, small)
        if larger is None:
            raise
        sizes, checked = larger, _checked(trial, larger, refused)
    _check_apart(trial, sizes)
    output, carries_state = checked
    least = {} if carries_state else trial.least(sizes)
    beyond = trial.beyond(least, sizes)
    if beyond != sizes:
        output, carries_state = check_deterministic(trial.model, trial.tensors(beyond))
    return FirstRun(beyond, least, trial.tensors(beyond), output, carries_state)


def _check_apart(trial: Trial, sizes: Mapping[str, int]) -> None:
    """Where sizes of an example are alike by chance, run the model at others, at which a wrong batch shows.

    Raises:
        LoadError: the model makes a state with a size that is not the batch.
    """
    if trial.example is None or trial.made is not None or len({*sizes.values()}) == len(sizes):
        return
    apart = trial.tensors(traced_sizes(trial.signature, None))
    try:
        check_runs(trial.model, apart)
    except LoadError as refused:
        if has_wrong_batch(str(refused.__cause__), apart):
            raise
    except Exception:  # what the model does not take at these sizes is no fault of it
        return


def _larger(trial: Trial, small: Mapping[str, int]) -> dict[str, int] | None:
    """Larger sizes at which the model runs.

    Raises:
        SignatureError: it runs where one size is that of another, or follows from it, alone.
    """
    if alike := equal_sizes(trial.runs, small):
        raise SignatureError(_ALIKE.format(*alike))
    larger = first_running(trial.runs, small)
    if larger is None and (following := following_size(trial.runs, small)):
        name, line = following
        raise SignatureError(
            f"PyTorch runs the model only where {name} is {line}. Write {line} in place of {name} in the inputs."
        )
    return larger


def _checked(trial: Trial, sizes: Mapping[str, int], refused: LoadError) -> tuple[Any, bool]:
    try:
        return check_deterministic(trial.model, trial.tensors(sizes))
    except RandomError:
        raise
    except LoadError:
        raise refused from refused.__cause__


def sizes_to_try(trial: Trial) -> tuple[Mapping[str, int], dict[str, int]]:
    """Sizes at which a model runs, and the least ones, for one that was exported before."""
    small = traced_sizes(trial.signature, trial.example)
    sizes: Mapping[str, int] | None = small
    if not trial.runs(small):
        sizes = None if trial.example is not None else first_running(trial.runs, small)
    if sizes is None:
        return small, {}
    least = trial.least(sizes)
    return trial.beyond(least, sizes), least
