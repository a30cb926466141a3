"""Inputs of cases for a model with explicit states: these are what calls before have led to, and not random."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ..first_run import Trial
from ..run import run_eager
from ..samples import LONG, Case
from .remembering import Remembering

Array = NDArray[np.generic]

# A state may be what it begins with, or what up to so many calls have made of it.
_MOST = 5


@dataclass(frozen=True)
class VisitedStates:
    """Makes the inputs of cases: `trial` those of the model itself, and `model`, called before, its states."""

    trial: Trial
    model: Remembering

    def __call__(self, sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
        states = {state.name: state.initial(sizes) for state in self.model.states}
        for k, each in enumerate(self._calls_before(sizes, seed)):
            states = self._after(self.inputs(each, seed + 1 + k), states)
        return {**self.inputs(sizes, seed), **states}

    def reachable(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """These sizes, and that of a state which stops to grow no larger than it ever is."""
        return {name: min(size, self._longest) if name == self._grows else size for name, size in sizes.items()}

    def _calls_before(self, sizes: Mapping[str, int], seed: int) -> list[Mapping[str, int]]:
        """The sizes of each call: where states grow, of those that make them as long as the case has them."""
        if not self._grows:
            return [sizes] * (seed % (_MOST + 1))
        return [{**sizes, "T": sizes[self._grows]}] if "T" in sizes else [sizes] * sizes[self._grows]

    @cached_property
    def _grows(self) -> str:
        return next((state.grows for state in self.model.states if state.grows), "")

    @cached_property
    def _longest(self) -> int:
        """How long a state is after many calls."""
        ones = dict.fromkeys(self.trial.signature.symbols, 1)
        states = {state.name: state.initial(ones) for state in self.model.states}
        name, axis = next((each.name, each.shape.index(each.grows)) for each in self.model.states if each.grows)
        for k in range(LONG):
            length = states[name].shape[axis]
            states = self._after(self.inputs(ones, k), states)
            if states[name].shape[axis] == length:
                break
        return int(states[name].shape[axis])

    def inputs(self, sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
        """The inputs of one call, without the states."""
        return self.trial.inputs(Case(sizes, "ordinary", seed % 2**32))

    def _after(self, inputs: Mapping[str, Array], states: Mapping[str, Array]) -> dict[str, Array]:
        got = run_eager(
            self.model, {name: torch.from_numpy(array.copy()) for name, array in {**inputs, **states}.items()}
        )
        return {name: tensor.numpy() for name, tensor in zip(states, got[-len(states) :], strict=True)}
