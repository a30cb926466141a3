"""Ways in which a model's states may be given, from the plainest on: which value is a state, and which is fixed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from ...spec.signature import Signature
from ...spec.streams import State, cannot_stream, past_name
from ..first_run import Trial
from ..run import preserve_module_state, run_on
from .arrangement import Arrangement, Owner, SizeOf, Slot
from .changing import Changing, dims_of, number_of
from .places import Keys, Place, copied, frozen, get, rebuilt, same, sharing
from .recorded import Recorded
from .resets import reset_for
from .shared_memory import View
from .state_names import state_names
from .watching import Watched


def arrangements(
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


def with_first_call(trial: Trial, arrangement: Arrangement) -> Arrangement:
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


def is_made_for_a_batch(trial: Trial, runs: Sequence[Watched], place: Place) -> bool:
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


def _templates(trial: Trial, run: Watched, owners: Collection[Owner]) -> dict[Owner, Any]:
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
