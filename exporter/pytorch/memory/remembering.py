"""A model whose forward takes what it keeps from call to call as further inputs, and returns it as further outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...spec.signature import Signature
from ...spec.streams import State
from ...torch_internals.modules import buffers_of, share_parts
from ..bind import InputBinding, bind_inputs
from ..outputs import flatten
from .arrangement import Arrangement, Owner, SizeOf, Slot, as_tensor
from .assigned_data import AssignedData
from .missed import Missed, MissedError
from .numbers import Numbers
from .places import Keys, Place, attributes, frozen, get, leaves, put, rebuilt


def check_complete(model: nn.Module) -> None:
    """See that all that a model with explicit states was seen to write is among these.

    Raises:
        MissedError: something is not.
    """
    if isinstance(model, Remembering) and model.missed:
        raise MissedError(model.missed)


def check_buffers(model: nn.Module, written: Collection[str]) -> None:
    """See that the buffers which a capture of all ways writes to, by their names, are states.

    Raises:
        MissedError: one is not.
    """
    carried = {slot.place for slot in model.arrangement.slots} if isinstance(model, Remembering) else set()
    paths = [name.rpartition(".") for name in written]
    missed = [place for path, _, name in paths if (place := Place(path, name)) not in carried]
    if missed:
        raise MissedError(missed)


class Remembering(nn.Module):
    """The model with its states as inputs, after the model's own, and as outputs likewise.

    Its parameters, buffers and modules are those of the model, under the names that these have there.
    """

    def __init__(self, model: nn.Module, signature: Signature, arrangement: Arrangement) -> None:
        super().__init__()
        self._held = (model,)
        share_parts(self, model)
        self.training = model.training
        self._names = tuple(signature.inputs)
        self.arrangement = arrangement
        self._binding: InputBinding = bind_inputs(model, signature.inputs)
        self._missed = Missed(arrangement)

    def modules(self, remove_duplicate: bool = True) -> Iterator[nn.Module]:
        """This module, those of the model, and the model itself, whose forward is called and which keeps attributes."""
        yield from super().modules(remove_duplicate)
        yield self.original

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.original.training = mode
        return self

    @property
    def original(self) -> nn.Module:
        """The model itself, as it is before its first call."""
        return self._held[0]

    @property
    def states(self) -> tuple[State, ...]:
        return self.arrangement.states

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        count = len(self._names)
        own, states = given[:count], given[count:]
        if self.arrangement.begun is None:
            return self._later_call(own, states)
        *kept, begun = states
        calls = zip(self._later_call(own, kept), self._first_call(own), strict=True)
        return (*(torch.where(begun, later, first) for later, first in calls), torch.ones_like(begun))

    def _later_call(self, own: Sequence[Tensor], states: Sequence[Tensor]) -> tuple[Tensor, ...]:
        held = [_held(slot, state) for slot, state in zip(self._slots, states, strict=True)]
        numbers = [
            value for slot, value in zip(self._slots, held, strict=True) if slot.number and isinstance(value, Tensor)
        ]
        with (
            _undone(self.original, self.arrangement.templates),
            AssignedData() if any(map(_is_in_graph, states)) else nullcontext(),
            Numbers(numbers) if numbers else nullcontext(),
        ):
            self._place(self.original, own, held)
            return self._call(own)

    def _first_call(self, own: Sequence[Tensor]) -> tuple[Tensor, ...]:
        with _undone(self.original, self.arrangement.templates):
            made: dict[int, Any] = {}
            for (path, name), value in self.arrangement.before.items():
                put(self.original.get_submodule(path), name, rebuilt(value, lambda keys, leaf: frozen(leaf), made))
            return self._call(own)

    def _call(self, own: Sequence[Tensor]) -> tuple[Tensor, ...]:
        args, kwargs = self._binding.arguments(dict(zip(self._names, own, strict=True)))
        before = {(path, name): value for path, name, value in attributes(self.original)}
        returned = flatten(self.original(*args, **kwargs))
        self._missed.note(self.original, before)
        # A buffer that is returned, and kept, is written to by the next call.
        return (*(tensor.clone() for _, tensor in returned), *self._read(self.original))

    @property
    def missed(self) -> tuple[Place, ...]:
        """What some call was seen to write that is no state."""
        return tuple(self._missed.places)

    @property
    def _slots(self) -> Sequence[Slot]:
        return self.arrangement.slots

    def _place(self, model: nn.Module, own: Sequence[Tensor], held: Sequence[Any]) -> None:
        by_place = {slot.place: value for slot, value in zip(self._slots, held, strict=True)}
        made: dict[int, Any] = {}
        for (path, name), template in self.arrangement.templates.items():
            put(model.get_submodule(path), name, rebuilt(template, self._leaf_of(path, name, own, by_place), made))

    def _leaf_of(
        self, path: str, name: str, own: Sequence[Tensor], states: Mapping[Place, Any]
    ) -> Callable[[Keys, Any], Any]:
        def leaf(keys: Keys, value: Any) -> Any:
            place = Place(path, name, keys)
            if place in states:
                return states[place]
            if place in self.arrangement.shared:
                view = self.arrangement.shared[place]
                return view.of(states[view.base])
            settled = self.arrangement.settled.get(place, value)
            return own[settled.tensor].shape[settled.axis] if isinstance(settled, SizeOf) else frozen(settled)

        return leaf

    def states_of(self, model: nn.Module) -> list[Tensor]:
        """All states of the model itself, or a copy of it, which has been called."""
        begun = [] if self.arrangement.begun is None else [torch.tensor(True)]
        return [*self._read(model), *begun]

    def _read(self, model: nn.Module) -> list[Tensor]:
        after = {
            Place(path, name, keys): value
            for path, name in self.arrangement.templates
            for keys, value in leaves(get(model.get_submodule(path), name), set())
        }
        return [as_tensor(slot, after.get(slot.place)) for slot in self._slots]


def remembering(model: nn.Module, signature: Signature, arrangement: Arrangement) -> Remembering:
    """The model with its states as inputs and outputs; its class has the model's name, which messages give."""
    named: type[Remembering] = type(type(model).__name__, (Remembering,), {"__module__": Remembering.__module__})
    return named(model, signature, arrangement)


@contextmanager
def _undone(model: nn.Module, owners: Mapping[Owner, Any]) -> Iterator[None]:
    """After the block these attributes and buffers are the same objects as before."""
    before = []
    for path, name in owners:
        module = model.get_submodule(path)
        own = {name: vars(module)[name]} if name in vars(module) else {}
        before.append((module, name, [*buffers_of(module).items()], own))
    try:
        yield
    finally:
        for module, name, buffers, own in reversed(before):
            vars(module).pop(name, None)
            vars(module).update(own)
            if name in dict(buffers):
                buffers_of(module).clear()
                buffers_of(module).update(buffers)


def _held(slot: Slot, state: Tensor) -> Any:
    """What the model holds for a state: a tensor of its own, or a Python number, which a graph has as a tensor."""
    return state.clone() if slot.number is None or _is_in_graph(state) else slot.number(state.item())


def _is_in_graph(state: Tensor) -> bool:
    return type(state) is not Tensor or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


def own_states(model: nn.Module, signature: Signature) -> tuple[State, ...]:
    """The states that a model keeps from call to call, in the dtypes of its signature; none where it has none."""
    states = model.states if isinstance(model, Remembering) else ()
    return tuple(replace(state, dtype=signature.inputs[state.name].dtype) for state in states)
