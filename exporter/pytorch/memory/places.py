"""Where a module keeps what may change from call to call: places in its attributes and buffers, read and written."""

from __future__ import annotations

import copy
import math
from collections import deque
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...torch_internals.modules import buffers_of
from ..contents import items, reachable

Keys = tuple[Any, ...]

# What holds something, and is no container of places: what is in it has no order, or is no tensor.
_WRITABLE = (set, bytearray, np.ndarray)
_COMPARED = (set, frozenset, bytes, bytearray, complex, range)

# What every module has, and no forward is expected to write to.
_OF_MODULES = {*vars(nn.Module()), *("forward", "_forward_hooks", "_flat_weights", "_flat_weight_refs")}


@dataclass(frozen=True)
class Place:
    """An attribute or buffer of a module, and the keys that lead to a value within its containers."""

    module: str
    attribute: str
    keys: Keys = ()

    def __str__(self) -> str:
        path = ".".join([*filter(None, [self.module]), self.attribute])
        return f"self.{path}{''.join(f'[{key!r}]' for key in self.keys)}"


def attributes(model: nn.Module) -> Iterator[tuple[str, str, Any]]:
    """The path of each module, and each buffer and attribute of it with its value."""
    for path, module in model.named_modules():
        for name, value in {**vars(module), **buffers_of(module)}.items():
            if name not in _OF_MODULES and not isinstance(value, (nn.Module, nn.Parameter)):
                yield path, name, value


def places(model: nn.Module) -> dict[Place, Any]:
    """Every value that a model keeps, looking into containers and objects, at the first place that leads to it."""
    seen: set[int] = set()
    return {
        Place(path, name, keys): value for path, name, whole in attributes(model) for keys, value in leaves(whole, seen)
    }


def leaves(value: Any, seen: set[int], keys: Keys = ()) -> Iterator[tuple[Keys, Any]]:
    """The values in nested containers and objects, each with the keys that lead to it; an empty one is a value.

    What is in an object that is in `seen`, or was met before, is left out.
    """
    inner = items(value)
    if not inner:
        yield keys, value
    elif isinstance(value, tuple) or id(value) not in seen:
        seen.add(id(value))
        for key, part in inner.items():
            yield from leaves(part, seen, (*keys, key))


def rebuilt(value: Any, change: Callable[[Keys, Any], Any], made: dict[int, Any], keys: Keys = ()) -> Any:
    """The same containers and objects, made anew, with `change(keys, leaf)` for each value in them.

    `made` has, by the identity of the old one, each that was made before: what is shared stays so.
    """
    inner = items(value)
    if not inner:
        return change(keys, value)
    if id(value) in made:
        return made[id(value)]
    if isinstance(value, tuple):
        parts = [rebuilt(part, change, made, (*keys, key)) for key, part in inner.items()]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    same = made[id(value)] = copy.copy(value)
    for key, part in inner.items():
        changed = rebuilt(part, change, made, (*keys, key))
        if isinstance(value, (dict, list, deque)):
            same[key] = changed
        else:
            object.__setattr__(same, key, changed)
    return same


def sharing(model: nn.Module, owners: Collection[tuple[str, str]]) -> list[tuple[str, str]]:
    """These attributes, and the others that hold an object which one of these holds too."""
    shared: dict[int, Any] = {}
    for path, name in owners:
        [*reachable(get(model.get_submodule(path), name), shared)]
    own = {key for key, each in shared.items() if items(each) and not isinstance(each, tuple)}
    # In the order in which `places` comes to them: an object is made anew under the first path that leads to it.
    return [(path, name) for path, name, whole in attributes(model) if (path, name) in owners or _holds(whole, own)]


def _holds(whole: Any, wanted: Collection[int]) -> bool:
    return any(id(each) in wanted for each in reachable(whole, {}))


def put(module: nn.Module, name: str, value: Any) -> None:
    """Make this the value of an attribute, which is none of the module's buffers as long."""
    buffers_of(module).pop(name, None)
    vars(module)[name] = value


def get(module: nn.Module, name: str) -> Any:
    return vars(module)[name] if name in vars(module) else buffers_of(module)[name]


def frozen(value: Any) -> Any:
    """A value as it is now, which nothing that is written in place changes."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return copy.copy(value) if isinstance(value, _WRITABLE) else value


def copied(model: nn.Module) -> nn.Module:
    """A copy of a model with the same parameters; it may keep results of calls together with how they were computed.

    Whoever runs the copy undoes what forward writes to parameters, as `preserve_module_state` does.
    """
    memo: dict[int, Any] = {id(parameter): parameter for parameter in model.parameters()}
    seen: set[int] = set()
    for _, _, whole in attributes(model):
        for _, value in leaves(whole, seen):
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(model, memo)


def same(one: Any, other: Any) -> bool:
    """Whether two values are of one type, and alike to the last bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        alike = one.shape == other.shape and one.dtype == other.dtype
        return alike and bool(
            torch.equal(one.isnan(), other.isnan()) and torch.equal(one.nan_to_num(), other.nan_to_num())
        )
    if isinstance(one, (bool, int, float, str, type(None))):
        return type(one) is type(other) and (one == other or (_is_nan(one) and _is_nan(other)))
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")
    if isinstance(one, _COMPARED):
        return type(one) is type(other) and one == other
    return type(one) is type(other) and not isinstance(one, Tensor)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and math.isnan(value)
