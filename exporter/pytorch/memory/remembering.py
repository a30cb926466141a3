"""A model whose forward takes what it keeps from call to call as further inputs, and returns it as further outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Any, Self

import torch
from torch import Tensor, nn

from ...errors import CaptureError
from ...spec.signature import Signature
from ...spec.streams import STATELESS, State
from ...torch_internals.modules import buffers_of, share_memory, share_parts
from ..bind import InputBinding, bind_inputs
from ..outputs import flatten
from .assigned_data import AssignedData
from .numbers import DTYPES, LARGEST, Numbers, too_large
from .places import Keys, Place, attributes, frozen, get, leaves, put, rebuilt
from .shared_memory import View

_Owner = tuple[str, str]


class MissedError(CaptureError):
    """A call writes to `places`, which are no states yet."""

    def __init__(self, places: Collection[Place]) -> None:
        written = " and ".join(map(str, places))
        super().__init__(
            f"The model cannot stream: {written} is written by some calls, and cannot be carried. {STATELESS}"
        )
        self.places = tuple(places)


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


class _Noted:
    """Places in an object of its own, which is not put back to what it was when what a call writes is undone."""

    def __init__(self) -> None:
        self.places: dict[Place, None] = {}


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
    templates: Mapping[_Owner, Any]
    settled: Mapping[Place, Any]
    begun: State | None = None
    before: Mapping[_Owner, Any] = field(default_factory=dict)
    left: frozenset[Place] = frozenset()
    shared: Mapping[Place, View] = field(default_factory=dict)

    @property
    def states(self) -> tuple[State, ...]:
        return (*(slot.state for slot in self.slots), *([] if self.begun is None else [self.begun]))


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
        # What some call was seen to write that is no state: a capture goes ways that no call before has gone.
        self._missed = _Noted()

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
        self._note_missed(before)
        # A buffer that is returned, and kept, is written to by the next call.
        return (*(tensor.clone() for _, tensor in returned), *self._read(self.original))

    @property
    def missed(self) -> tuple[Place, ...]:
        return tuple(self._missed.places)

    def _note_missed(self, before: Mapping[_Owner, Any]) -> None:
        carried = {slot.place for slot in self._slots} | self.arrangement.left
        met, now = set[int](), set[int]()
        for path, name, value in attributes(self.original):
            was = dict(leaves(before.get((path, name)), met))
            for keys, leaf in leaves(value, now):
                place = Place(path, name, keys)
                if place in self.arrangement.shared:
                    self._note_apart(place, leaf)
                elif (
                    place not in carried
                    and keys in was
                    and not _unchanged(was[keys], leaf)
                    and not self._settles(place, leaf)
                ):
                    self._missed.places[place] = None

    def _note_apart(self, place: Place, value: Any) -> None:
        """Note what no longer lies in the memory of the tensor that it was found in."""
        base = self.arrangement.shared[place].base
        whole = dict(leaves(get(self.original.get_submodule(base.module), base.attribute), set())).get(base.keys)
        if not (isinstance(value, Tensor) and isinstance(whole, Tensor) and share_memory(value, whole)):
            self._missed.places[place] = None

    def _settles(self, place: Place, value: Any) -> bool:
        """Whether this is what the first call makes of a value, and later ones leave."""
        return self.arrangement.begun is not None and _unchanged(self.arrangement.settled.get(place), value)

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
def _undone(model: nn.Module, owners: Mapping[_Owner, Any]) -> Iterator[None]:
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


def _unchanged(before: Any, after: Any) -> bool:
    """Whether a call has left a value as it was; in a capture a tensor has no values that could be compared."""
    if before is after:
        return True
    if isinstance(before, (bool, int, float, str)):
        return type(before) is type(after) and bool(before == after)
    return type(before) is type(after) and not isinstance(before, Tensor)


def _held(slot: Slot, state: Tensor) -> Any:
    """What the model holds for a state: a tensor of its own, or a Python number, which a graph has as a tensor."""
    return state.clone() if slot.number is None or _is_in_graph(state) else slot.number(state.item())


def _is_in_graph(state: Tensor) -> bool:
    return type(state) is not Tensor or torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]


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


def own_states(model: nn.Module, signature: Signature) -> tuple[State, ...]:
    """The states that a model keeps from call to call, in the dtypes of its signature; none where it has none."""
    states = model.states if isinstance(model, Remembering) else ()
    return tuple(replace(state, dtype=signature.inputs[state.name].dtype) for state in states)
