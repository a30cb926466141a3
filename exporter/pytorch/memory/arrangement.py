"""How the states of a model lie in its attributes: what stands where, and what no state has to say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ...errors import CaptureError
from ...spec.streams import State
from .numbers import DTYPES, LARGEST, too_large
from .places import Place
from .shared_memory import View

# The path of a module, and the name of an attribute.
Owner = tuple[str, str]


@dataclass(frozen=True)
class Slot:
    """A value that is carried from call to call, and the state that it is; of a Python number, `number` is the type."""

    place: Place
    state: State
    number: type | None = None


@dataclass(frozen=True)
class SizeOf:
    """A number that is the size of a dimension: of which input, and which of its dimensions."""

    tensor: int
    axis: int


@dataclass(frozen=True)
class Arrangement:
    """How states lie in a model: each attribute as the first call leaves it, and what stands where in it.

    What is in no slot and not in `settled` is as it was before the first call, and what is in `left` every call makes
    again from that. What is in `shared` lies in the memory of a slot. Where no value of the states gives the
    first call, `begun` is a state besides that tells whether there has been one, and `before` what the attributes are
    until then.
    """

    slots: tuple[Slot, ...]
    templates: Mapping[Owner, Any]
    settled: Mapping[Place, Any]
    begun: State | None = None
    before: Mapping[Owner, Any] = field(default_factory=dict)
    left: frozenset[Place] = frozenset()
    shared: Mapping[Place, View] = field(default_factory=dict)

    @property
    def states(self) -> tuple[State, ...]:
        return (*(slot.state for slot in self.slots), *([] if self.begun is None else [self.begun]))


def as_tensor(slot: Slot, value: Any) -> Tensor:
    """What a place holds after a call, as its state.

    Raises:
        CaptureError: it is no tensor or number, or a whole number of more bits than a file has.
    """
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, int) and abs(value) > LARGEST:
        raise CaptureError(too_large(str(slot.place)))
    if slot.number is not None and isinstance(value, (bool, int, float, torch.SymInt, torch.SymFloat, torch.SymBool)):
        return torch.full((), value, dtype=DTYPES[slot.number])  # type: ignore[arg-type]
    raise CaptureError(
        f"{slot.place} is a {type(value).__name__} after a call, where it was a tensor or number after another. "
        "Keep the same kind of value."
    )
