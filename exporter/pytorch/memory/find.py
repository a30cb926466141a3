"""Find what a model keeps from call to call, what that is before the first call, and how it can be given instead."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import CaptureError, first_line
from ...spec.signature import Signature
from ...spec.streams import State, cannot_stream, past_name
from ..first_run import Trial
from ..run import preserve_module_state, run_eager, run_on
from .changing import Changing, changing, dims_of, number_of
from .growth import check_growth
from .left_behind import left_behind, made_at
from .places import Keys, Place, copied, frozen, get, rebuilt, same, sharing
from .recorded import Recorded, recorded
from .remembering import Arrangement, Remembering, SizeOf, Slot, as_tensor, remembering
from .resets import reset_for
from .shared_memory import View, lasting
from .state_names import state_names
from .watching import Watched, moved_later, remembered_while_still, watch

_Owner = tuple[str, str]


@dataclass(frozen=True)
class Memory:
    """What a model keeps: `start` is the model before its first call, which is called again and again to verify.

    `signature` names the inputs and outputs of a call, without the states.
    """

    start: nn.Module
    signature: Signature
    arrangement: Arrangement

    @property
    def states(self) -> tuple[State, ...]:
        return self.arrangement.states

    def explicit(self) -> Remembering:
        """The model with its states as inputs and outputs."""
        return remembering(self.start, self.signature, self.arrangement)


def find_memory(trial: Trial, sizes: Mapping[str, int], also: Collection[Place] = ()) -> Memory | None:
    """What the model of `trial`, which is as before its first call, keeps from call to call; None if nothing.

    Args:
        sizes: at which it runs.
        also: what is a state too, though the calls that are tried here may not change it.

    Raises:
        CaptureError: what it keeps cannot be carried: it grows, or no value does for what it is before the first call.
    """
    watched = watch(trial, sizes)
    found = changing(watched)
    later = [place for place in moved_later(trial, sizes) if place not in found.places]
    moving = {*later, *found.places} - found.settled
    also = [*dict.fromkeys([*also, *later, *remembered_while_still(trial, watched, moving)])]
    if not found.places and not also:
        return None
    runs = [watched, *_elsewhere(trial, sizes)]
    also = [*dict.fromkeys([*also, *(place for place in found.settled if _is_made_for_a_batch(trial, runs, place))])]
    others = [changing(run, also) for run in runs]
    check_growth(found.places, watched)
    lasted = lasting([call.shared for run in runs for call in run.calls])
    shared = {place: view for place, view in lasted.items() if place not in also}
    records = recorded(trial, {place for each in others for place in each.places}, runs)
    ways = [
        arrangement
        for lying in ([shared, {}] if shared else [{}])
        for arrangement in _arrangements(trial, runs, others, lying, records)
    ]
    left = made_at(found.places, runs)
    earlier = [*_watched(trial, [{**sizes, **each} for each in left.values()])]
    # What an earlier call has left is no beginning that a first call has as a path of its own.
    ways += [] if left else [_with_first_call(trial, arrangement) for arrangement in ways]
    refused = ""
    for arrangement in ways:
        wrong = _differs(trial, arrangement, runs)
        if left and (wrong or _differs(trial, arrangement, earlier)):
            wrong = left_behind([*left])
        if not wrong and not arrangement.states:  # what the first call changes makes no difference to a later one
            return None
        if not wrong:
            return Memory(trial.model, trial.signature, arrangement)
        refused = refused or wrong
    raise cannot_stream(_parting(lasted, also) or refused)


def _with_first_call(trial: Trial, arrangement: Arrangement) -> Arrangement:
    """The same with a state that tells whether there has been a call: the first finds what the model begins with."""
    before, made = {}, dict[int, Any]()
    for path, name in arrangement.templates:
        module = trial.model.get_submodule(path)
        if not hasattr(module, name):  # the first call makes it
            continue
        value = get(module, name)
        before[path, name] = rebuilt(value, lambda keys, leaf: frozen(leaf), made)
    taken = [*trial.signature.inputs, *trial.signature.outputs]
    taken += [name for state in arrangement.states for name in (state.name, state.output)]
    names = state_names([Place("", "begun")], taken)[Place("", "begun")]
    return replace(arrangement, begun=State(*names, "bool", ()), before=before)


def _elsewhere(trial: Trial, sizes: Mapping[str, int]) -> Iterator[Watched]:
    """The same at other sizes, all of them others than these, and where they are all 1."""
    larger = {name: size + 1 + i for i, (name, size) in enumerate(sizes.items())}
    return _watched(trial, [larger, dict.fromkeys(sizes, 1)] if sizes else [])


def _watched(trial: Trial, sizes: Sequence[Mapping[str, int]]) -> Iterator[Watched]:
    for each in sizes:
        try:
            yield watch(trial, each)
        except Exception:  # what the model does not take at these sizes is no fault of it
            continue


def _arrangements(
    trial: Trial,
    runs: Sequence[Watched],
    found: Sequence[Changing],
    shared: Mapping[Place, View],
    records: Mapping[Place, Recorded],
) -> Iterator[Arrangement]:
    """Ways in which the states may be given, from the plainest on.

    A value that only the first call changes may be what that call makes of it, for instance a flag that says that there
    has been one; or be left as it is, for instance a table that each call makes again; or be a state.
    """
    settled = {
        place for place in found[0].settled if all(place in each.settled or place not in each.places for each in found)
    }
    moving = {place: None for each in found for place in each.places if place not in settled}
    plain = {place for place in settled if not isinstance(runs[0].calls[0].after.get(place), Tensor)}
    set_by_first = {place: _settled_value(trial.signature, runs, place) for place in plain}
    carried = {place for place in settled if _can_be_carried(runs[0].calls[0].after.get(place))}
    # What kind of number an object holds, for instance, or on which device: there is no state for it.
    rest = {place: value for place, value in set_by_first.items() if place not in carried}
    tables = {place: _table(runs, place) for place in settled - plain if place in runs[0].before}
    left = {place: runs[0].before[place] for place in settled if place in runs[0].before}
    ways: list[tuple[dict[Place, None], Mapping[Place, Any]]] = [
        (moving, {**tables, **set_by_first}),
        (moving, left),
        (moving | dict.fromkeys(plain & carried), {**tables, **rest}),
        (moving | dict.fromkeys(carried), rest),
    ]
    tried: list[Any] = []
    for states, fixed in ways:
        if (list(states), list(fixed.items())) not in tried:
            tried.append((list(states), list(fixed.items())))
            yield _arranged(trial, runs, list(states), {**fixed, **records}, shared)


def _is_made_for_a_batch(trial: Trial, runs: Sequence[Watched], place: Place) -> bool:
    """Whether the first call makes a tensor for its sequences: a later one may write to it, however long it does not.

    A table as long as the sequence, such as a mask, is made anew for another length.
    """
    value = runs[0].calls[0].after.get(place)
    if not isinstance(value, Tensor) or isinstance(runs[0].before.get(place), Tensor):
        return False
    values = [run.calls[0].after.get(place) for run in runs]
    sizes = {tuple(each.shape) for each in values if isinstance(each, Tensor)}
    return len(sizes) > 1 and "T" not in trial.signature.symbols


def _table(runs: Sequence[Watched], place: Place) -> Any:
    """What the first call makes of a tensor where that is always the same, so that what a later one writes is seen."""
    values = [run.calls[0].after.get(place) for run in runs]
    return values[0] if all(same(value, values[0]) for value in values) else runs[0].before[place]


def _can_be_carried(value: Any) -> bool:
    return isinstance(value, Tensor) or number_of(value) is not None


def _settled_value(signature: Signature, runs: Sequence[Watched], place: Place) -> Any:
    """What the first call makes of a value; where that is a size of the inputs, which it is."""
    values = [run.calls[0].after.get(place) for run in runs]
    if all(same(value, values[0]) for value in values):
        return values[0]
    for tensor, spec in enumerate(signature.inputs.values()):
        for axis, dim in enumerate(spec.shape):
            if isinstance(dim, str) and all(
                run.sizes.get(dim) == value for run, value in zip(runs, values, strict=True)
            ):
                return SizeOf(tensor, axis)
    return values[0]


def _arranged(
    trial: Trial,
    runs: Sequence[Watched],
    moving: Sequence[Place],
    fixed: Mapping[Place, Any],
    shared: Mapping[Place, View],
) -> Arrangement:
    shared = {place: view for place, view in shared.items() if place in moving and view.base in moving}
    states = [place for place in moving if place not in shared and not isinstance(fixed.get(place), Recorded)]
    names = state_names(states, [*trial.signature.inputs, *trial.signature.outputs])
    slots = tuple(_slot(place, *names[place], runs) for place in states)
    owners = {(place.module, place.attribute): None for place in (*moving, *fixed)}
    start = runs[0].before
    left = frozenset(
        place
        for place, value in fixed.items()
        if isinstance(value, Recorded) or (place in start and value is start[place])
    )
    return Arrangement(slots, _templates(trial, runs[0], owners), fixed, left=left, shared=shared)


def _templates(trial: Trial, run: Watched, owners: Collection[_Owner]) -> dict[_Owner, Any]:
    """What the first call makes of these attributes."""
    model, after = copied(trial.model), run.calls[0].after
    with preserve_module_state(model):
        run_on(model, run.calls[0].inputs)
        made: dict[int, Any] = {}
        return {
            (path, name): rebuilt(get(model.get_submodule(path), name), partial(_leaf, after, path, name), made)
            for path, name in sharing(model, owners)
        }


def _leaf(after: Mapping[Place, Any], path: str, name: str, keys: Keys, leaf: Any) -> Any:
    return after.get(Place(path, name, keys), leaf)


def _slot(place: Place, before: str, after: str, runs: Sequence[Watched]) -> Slot:
    value = runs[0].calls[0].after[place]
    number = number_of(value)
    if not _can_be_carried(value):
        raise cannot_stream(
            f"{place} changes from call to call, and is a {type(value).__name__}. Keep tensors or numbers."
        )
    dtype, dims = dims_of(place, runs)
    grows = past_name(runs[0].sizes)
    state = State(before, after, dtype, dims, reset_for(place, dims, runs), grows if grows in dims else "")
    return Slot(place, state, number)


def _differs(trial: Trial, arrangement: Arrangement, runs: Sequence[Watched]) -> str:
    """What the model with explicit states computes otherwise than the model itself; empty if nothing."""
    model = remembering(trial.model, trial.signature, arrangement)
    for run in runs:
        states = [torch.from_numpy(state.initial(run.sizes)) for state in arrangement.states]
        for k, call in enumerate(run.calls):
            try:
                got = _step(model, call.inputs, states)
            except CaptureError:
                raise
            except Exception as error:  # whatever the model's forward raises
                return f"with its states as inputs its forward raises {type(error).__name__}: {first_line(error)}."
            count = len(call.outputs)
            kept = [as_tensor(slot, call.after[slot.place]) for slot in arrangement.slots]
            wrong = [not same(*pair) for pair in zip(got[:count], call.outputs, strict=True)]
            late = [
                str(slot.place)
                for slot, one, other in zip(arrangement.slots, got[count:], kept, strict=False)
                if not same(one, other)
            ]
            if any(wrong) or late:
                return _why(arrangement, run, k, late)
            states = list(got[count:])
    return ""


def _parting(lasted: Mapping[Place, View], also: Collection[Place]) -> str:
    """Of a tensor that some call was seen to keep apart from the one in whose memory it lies after others."""
    return next(
        (
            f"{place} lies in the memory of {view.base} in some calls and not in others. Keep a copy, such as "
            f"{view.base}.clone(), in one of them."
            for place, view in lasted.items()
            if place in also
        ),
        "",
    )


def _step(model: Remembering, inputs: Mapping[str, Tensor], states: Sequence[Tensor]) -> tuple[Tensor, ...]:
    names = [*inputs, *(f"states.{i}" for i in range(len(states)))]
    got: tuple[Tensor, ...] = run_eager(model, dict(zip(names, [*inputs.values(), *states], strict=True)))
    return got


def _why(arrangement: Arrangement, run: Watched, k: int, late: Sequence[str]) -> str:
    nowhere = [
        str(slot.place)
        for slot in arrangement.slots
        if not isinstance(run.before.get(slot.place), (Tensor, bool, int, float))
    ]
    if k == 0 and nowhere:
        return (
            f"{' and '.join(nowhere)} is None before the first call, and zeros in its place give another first call. "
            "Register it as a buffer with the values that it begins with, or begin with zeros."
        )
    what = f"{late[0]} is then" if late else "what it returns is then"
    return (
        f"it keeps something from call to call beside its attributes and buffers: with these as inputs, {what} "
        f"another in call {k + 1}. Keep all of it in attributes and buffers of modules."
    )
