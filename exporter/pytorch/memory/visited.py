"""Inputs of cases for a model with explicit states: these are what calls before have led to, and not random."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from ..first_run import Trial
from ..run import preserve_module_state, run_on
from ..samples import LONG, Case
from .places import copied
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
        states = [state.initial(sizes) for state in self.model.states]
        calls = self._calls_before(sizes)
        calls = [sizes] * (seed % (_MOST + 1)) if calls is None else calls
        for visited in self._visited([(each, seed + 1 + k) for k, each in enumerate(calls)]):
            states = visited
        names = [state.name for state in self.model.states]
        return {**self.inputs(sizes, seed), **dict(zip(names, states, strict=True))}

    def inputs(self, sizes: Mapping[str, int], seed: int) -> dict[str, Array]:
        """The inputs of one call, without the states."""
        return self.trial.inputs(Case(sizes, "ordinary", seed % 2**32))

    def reachable(self, sizes: Mapping[str, int]) -> dict[str, int]:
        """These sizes, and that of a state which stops to grow no larger than it ever is."""
        return {name: min(size, self._longest) if name == self._grows else size for name, size in sizes.items()}

    def _calls_before(self, sizes: Mapping[str, int]) -> list[Mapping[str, int]] | None:
        """The sizes of the calls after which what grows is as long as the case has it; None where nothing does."""
        if not self._grows:
            return None
        return [{**sizes, "T": sizes[self._grows]}] if "T" in sizes else [sizes] * sizes[self._grows]

    @cached_property
    def _grows(self) -> str:
        return next((state.grows for state in self.model.states if state.grows), "")

    @cached_property
    def _longest(self) -> int:
        """How long a state is after many calls."""
        ones = dict.fromkeys(self.trial.signature.symbols, 1)
        place, axis = next((k, each.shape.index(each.grows)) for k, each in enumerate(self.model.states) if each.grows)
        length = 0
        for states in self._visited([(ones, k) for k in range(LONG)]):
            if states[place].shape[axis] == length:
                break
            length = states[place].shape[axis]
        return length

    def _visited(self, calls: Sequence[tuple[Mapping[str, int], int]]) -> Iterator[list[Array]]:
        """The states after each of these calls, of given sizes and seed, of the model itself: it is the faster one."""
        model = copied(self.trial.model)
        with preserve_module_state(model):
            for sizes, seed in calls:
                arrays = self.inputs(sizes, seed)
                run_on(model, {name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
                yield [tensor.numpy() for tensor in self.model.states_of(model)]
