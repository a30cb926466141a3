"""Call a copy of a model again and again, and see what it returns and what it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..first_run import Trial
from ..outputs import flatten
from ..run import preserve_module_state, run_on
from ..samples import Case
from .places import Place, copied, frozen, places

# What tells one call from another must not stop to be seen: a value that is the same after so many has settled.
CALLS = 4


@dataclass(frozen=True)
class Call:
    """What went in, what came out, and what every place of the model held afterwards."""

    inputs: Mapping[str, Tensor]
    outputs: tuple[Tensor, ...]
    after: Mapping[Place, Any]


@dataclass(frozen=True)
class Watched:
    """A few calls of given sizes, from the model's start."""

    sizes: Mapping[str, int]
    before: Mapping[Place, Any]
    calls: tuple[Call, ...]


def watch(trial: Trial, sizes: Mapping[str, int], calls: int = CALLS) -> Watched:
    """Call a copy of the model, each time with other inputs; whatever its forward raises is raised."""
    model = copied(trial.model)
    before, done = _kept(model), []
    with preserve_module_state(model):
        for k in range(calls):
            arrays = trial.inputs(Case(sizes, "ordinary", trial.seed + k))
            inputs = {name: torch.from_numpy(array.copy()) for name, array in arrays.items()}
            outputs = tuple(tensor for _, tensor in flatten(run_on(model, inputs)))
            done.append(Call(inputs, outputs, _kept(model)))
    return Watched(sizes, before, tuple(done))


def _kept(model: nn.Module) -> dict[Place, Any]:
    return {place: frozen(value) for place, value in places(model).items()}
