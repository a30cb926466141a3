"""Call a copy of a model again and again, and see what it returns and what it keeps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...torch_internals.modules import writes_to
from ..first_run import Trial
from ..outputs import flatten
from ..run import preserve_module_state, run_on
from .places import Place, copied, frozen, places, same
from .shared_memory import View, views

# What tells one call from another must not stop to be seen: a value that is the same after so many has settled.
CALLS = 4


@dataclass(frozen=True)
class Call:
    """What went in, what came out, and what every place of the model held afterwards, `shared` with another."""

    inputs: Mapping[str, Tensor]
    outputs: tuple[Tensor, ...]
    after: Mapping[Place, Any]
    shared: Mapping[Place, View]


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
            inputs = trial.tensors(sizes, k)
            outputs = tuple(tensor for _, tensor in flatten(run_on(model, inputs)))
            done.append(Call(inputs, outputs, _kept(model), views(model)))
    return Watched(sizes, before, tuple(done))


# What further calls are fed: the values of an ordinary case times each of these, for so many calls.
_SCALES = (1.0, 5.0, 0.0, 0.2)
_EACH = 6


def moved_later(trial: Trial, sizes: Mapping[str, int]) -> list[Place]:
    """What changes in further calls, loud and quiet ones, and may have been still in the first few."""
    model, found = copied(trial.model), dict[Place, None]()
    free = [name for name, spec in trial.signature.inputs.items() if spec.is_float and not spec.floats]
    before = _kept(model)
    with preserve_module_state(model):
        for k in range(_EACH * len(_SCALES)):
            scale = _SCALES[k // _EACH]
            try:
                run_on(model, {name: x * scale if name in free else x for name, x in trial.tensors(sizes, k).items()})
            except Exception:  # whatever the model's forward raises for other values
                break
            after = _kept(model)
            found |= {place: None for place in after if place in before and not same(before[place], after[place])}
            before = after
    return [*found]


def remembered_while_still(trial: Trial, watched: Watched, moving: Collection[Place]) -> list[Place]:
    """What later calls write, and the next one reads, though the few that were tried wrote what was there before.

    A maximum, say, over what ordinary inputs never reach. What each call makes anew before it reads it is no memory.

    Args:
        moving: what is known to change anyway.
    """
    return [place for place in _written(trial, watched) if place not in moving and is_read(trial, watched, place)]


def _written(trial: Trial, watched: Watched) -> list[Place]:
    """The tensors that calls after the first replace or write to."""
    model, found = copied(trial.model), dict[Place, None]()
    with preserve_module_state(model):
        run_on(model, watched.calls[0].inputs)
        for call in watched.calls[1:]:
            before = {place: (value, writes_to(value)) for place, value in _tensors(model)}
            run_on(model, call.inputs)
            for place, value in _tensors(model):
                was = before.get(place)
                if was is not None and (was[0] is not value or was[1] != writes_to(value)):
                    found[place] = None
    return [*found]


def is_read(trial: Trial, watched: Watched, place: Place) -> bool:
    """Whether the second call gives something else after another value was there."""
    first, second = watched.calls[:2]
    model = copied(trial.model)
    with preserve_module_state(model):
        run_on(model, first.inputs)
        try:
            _other_value(dict(_tensors(model))[place])
            outputs = [tensor for _, tensor in flatten(run_on(model, second.inputs))]
        except Exception:  # whatever the model's forward raises: it has read the value; or nothing else can be written
            return True
        kept = _kept(model)
    return not all(map(same, outputs, second.outputs)) or any(
        not same(value, kept.get(each)) for each, value in second.after.items()
    )


def _other_value(value: Tensor) -> None:
    with torch.no_grad():
        if value.dtype == torch.bool:
            value.logical_not_()
        else:
            value.add_(1000)


def _tensors(model: nn.Module) -> list[tuple[Place, Tensor]]:
    return [(place, value) for place, value in places(model).items() if isinstance(value, Tensor)]


def _kept(model: nn.Module) -> dict[Place, Any]:
    return {place: frozen(value) for place, value in places(model).items()}
