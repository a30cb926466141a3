"""Find in a checkpoint the tensors that are the model's: in which entry they lie, behind which prefix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from ...errors import WeightsError, did_you_mean

_SHOWN = 3
# How deep entries of entries are looked through.
_DEPTH = 2
# What entries with an average over training steps are called.
_AVERAGED = re.compile(r"(?i)(^|[_.])(ema|shadow|averaged?|swa)")
# What torch.compile puts into the names of a module that it has compiled, wherever that module is.
_COMPILED = "_orig_mod."

State = Mapping[str, Tensor]


@dataclass(frozen=True)
class Weights:
    """The model's tensors by its own names, and what is to be said of where they were."""

    tensors: dict[str, Tensor]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Place:
    """Where tensors with the model's names and shapes lie, and which tensors beside them are no part of it."""

    entry: str
    prefix: str
    tensors: State
    others: Sequence[str]

    @property
    def key(self) -> str:
        """What `weights_key` says to take these."""
        return ".".join(part for part in (self.entry, self.prefix.removesuffix(".")) if part)

    def __str__(self) -> str:
        parts = [f"the entry '{self.entry}'"] if self.entry else []
        parts += [f"the tensors named '{self.prefix}...'"] if self.prefix else []
        return ", ".join(parts) or "the tensors without a prefix"


def find_weights(entries: Mapping[str, Any], model: State, path: Path, key: str | None) -> Weights:
    """The tensors that have the names and shapes of `model`, its `state_dict()`.

    Raises:
        WeightsError: there are none, or there are several and `key` does not say which.
    """
    states = list(_states(entries))
    if not model and not states:
        return Weights({}, ())
    if not any(_COMPILED in name for name in model):
        states = [
            (entry, {name.replace(_COMPILED, ""): each for name, each in state.items()}) for entry, state in states
        ]
    if key is not None:
        states, prefix = _named(entries, states, path, key)
    else:
        prefix = None
    places = [place for name, state in states for place in _places(name, state, model, prefix)]
    if len(places) > 1:
        keys = " or ".join(f'`weights_key="{place.key}"`' for place in places[:_SHOWN] if place.key)
        raise WeightsError(
            f"{path} holds tensors that fit the model in {len(places)} places: {'; '.join(map(str, places[:_SHOWN]))}. "
            f"Say which: {keys}."
        )
    if not places or (not places[0].prefix and places[0].others):
        raise WeightsError(_misfit(states, model, path, key, prefix))
    return Weights(dict(places[0].tensors), tuple(_notes(places[0], entries, path, key)))


def _states(entries: Mapping[str, Any], name: str = "", depth: int = _DEPTH) -> Iterator[tuple[str, State]]:
    """Every entry that holds tensors, with the path of names that leads to it."""
    tensors = {str(each): value for each, value in entries.items() if isinstance(value, Tensor)}
    if tensors:
        yield name, tensors
    for each, value in entries.items():
        if isinstance(value, Mapping) and depth:
            yield from _states(value, f"{name}.{each}" if name else str(each), depth - 1)


def _named(
    entries: Mapping[str, Any], states: Sequence[tuple[str, State]], path: Path, key: str
) -> tuple[list[tuple[str, State]], str | None]:
    """The entry that `key` names, or the entries with tensors of which it names the prefix."""
    exact = [(name, state) for name, state in states if name == key]
    if exact:
        return exact, None
    for name, state in states:
        prefix = key.removeprefix(f"{name}.") if name else key
        if (not name or key.startswith(f"{name}.")) and any(each.startswith(f"{prefix}.") for each in state):
            return [(name, state)], f"{prefix}."
    if key in entries:
        raise WeightsError(f"The entry '{key}' of {path} does not hold tensors by name. {_offer(states)}")
    names = ", ".join(map(str, list(entries)[:20]))
    raise WeightsError(f"{path} has no entry '{key}'.{did_you_mean(key, map(str, entries))} It has {names}.")


def _places(entry: str, state: State, model: State, prefix: str | None) -> Sequence[_Place]:
    """Where in an entry the model's tensors are: as they are named, or behind each prefix that all of them have."""
    if prefix is None and state.keys() == model.keys():
        prefix = ""
    return list(_behind_prefixes(entry, state, model, prefix))


def _behind_prefixes(entry: str, state: State, model: State, prefix: str | None) -> Iterator[_Place]:
    first = next(iter(model), "")
    prefixes = dict.fromkeys(name.removesuffix(first) for name in state if name.endswith(first)) if first else [""]
    for each in prefixes if prefix is None else [prefix]:
        named = {name.removeprefix(each): name for name in state if name.startswith(each)}
        if (not each or each.endswith(".")) and _fits(model, named, state):
            others = [name for name in state if not name.startswith(each) or name.removeprefix(each) not in model]
            # A tensor among the model's own that the model does not have says that it is another model.
            if not each or all(not name.startswith(each) for name in others):
                yield _Place(entry, each, {name: state[named[name]] for name in model}, others)


def _fits(model: State, named: Mapping[str, str], state: State) -> bool:
    return all(name in named and state[named[name]].shape == tensor.shape for name, tensor in model.items())


def _notes(place: _Place, entries: Mapping[str, Any], path: Path, key: str | None) -> Iterator[str]:
    if place.entry and key is None:
        yield f"Weights are the entry '{place.entry}' of {path}."
    if place.prefix and place.key != key:
        yield f"The prefix '{place.prefix}' of the weights' names was left out."
    if place.others:
        yield f"{path} holds other tensors too, which were left out: {listed(place.others)}."
    averaged = [name for name in entries if _AVERAGED.search(name) and name not in (place.entry.split(".")[0], key)]
    if averaged:
        yield f"{path} holds averaged weights too, in '{averaged[0]}', which were not taken."


def _misfit(states: Sequence[tuple[str, State]], model: State, path: Path, key: str | None, prefix: str | None) -> str:
    """Why nothing fits, shown by the entry, and the prefix, that has the most of the model's names."""
    if not states:
        return f"{path} holds no tensors by name. Save them: torch.save(model.state_dict(), path)."
    stripped = {name: _behind(prefix or _likeliest(state, model), state) for name, state in states}
    name, own = max(stripped.items(), key=lambda each: len(model.keys() & each[1].keys()))
    misshaped = [
        f"{each} {list(own[each].shape)} instead of {list(tensor.shape)}"
        for each, tensor in model.items()
        if each in own and own[each].shape != tensor.shape
    ]
    found = {
        "missing": [each for each in model if each not in own],
        "unexpected": [each for each in own if each not in model],
        "misshaped": misshaped,
    }
    faults = "; ".join(f"{word} {listed(names)}" for word, names in found.items() if names)
    which = f"The entry '{name}' of {path}" if name and key is None else str(path)
    return (
        f"{which} does not fit the model: {faults}. "
        "Build the model with the sizes it was trained with, by its arguments, or give its own checkpoint."
    )


def _likeliest(state: State, model: State) -> str:
    """The prefix behind which the most of the model's names are."""
    parts = [name.split(".") for name in state]
    prefixes = {".".join(each[:count]) + "." for each in parts for count in range(1, len(each))}
    return max(["", *sorted(prefixes)], key=lambda prefix: len(model.keys() & _behind(prefix, state).keys()))


def _behind(prefix: str, state: State) -> State:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def _offer(states: Sequence[tuple[str, State]]) -> str:
    named = [name for name, _ in states if name]
    return f'Name one that does: `weights_key="{named[0]}"`.' if named else "Save model.state_dict() alone."


def listed(names: Sequence[str]) -> str:
    """The first few, and how many more there are."""
    more = len(names) - _SHOWN
    return ", ".join(names[:_SHOWN]) + (f" and {more} more" if more > 0 else "")
