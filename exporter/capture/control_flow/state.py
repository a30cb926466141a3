"""What a block of the user's code changes: its variables, and the lists, dictionaries and objects within its reach."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from types import CellType, FunctionType, MethodType
from typing import Any

from torch import Tensor, nn

from ...torch_internals.modules import buffers_of
from .exits import FLOW

# A place that a value can be in: a variable by its name, or an element of a container by its identity and key.
Slot = tuple[int, Hashable]

_VARIABLES = 0

# The owners of slots that are a list's, whose key is its identity: its last item, its length, and all of its items,
# which steps append to and read, as one tensor that grows.
LAST_ITEM, LENGTH, WHOLE = -2, -3, -4
_OF_EVERY_MODULE = frozenset(nn.Module().__dict__)
_LEAVES = (Tensor, str, bytes, int, float, bool, type(None), type, nn.Parameter)
_FOREIGN = ("torch", "numpy", "builtins", "sympy", "collections", "types", "typing", "rnn_export", "exporter")


class Undefined:
    """The value of a variable that has none yet."""

    def __repr__(self) -> str:
        return "undefined"

    def __bool__(self) -> bool:
        raise UnboundLocalError("A variable is read before it has a value.")


UNDEFINED = Undefined()


@dataclass(frozen=True)
class Snapshot:
    """All values at one moment, by slot; `containers` keeps what the slots are in."""

    values: Mapping[Slot, Any]
    containers: Mapping[int, Any]


@dataclass(frozen=True)
class Scope:
    """The variables that a block binds, and the objects that it can reach.

    `get` returns the values of the variables `names`, and `set` takes them.
    """

    names: tuple[str, ...]
    get: Callable[[], tuple[Any, ...]] | None
    set: Callable[[tuple[Any, ...]], None] | None
    blocks: tuple[Callable[..., Any], ...]

    def snapshot(self) -> Snapshot:
        values: dict[Slot, Any] = {}
        found: dict[int, Any] = {}
        if self.get is not None:
            values.update({(_VARIABLES, name): value for name, value in zip(self.names, self.get(), strict=True)})
        for root in (*values.values(), *_reached(self.blocks)):
            _walk(root, found)
        for container in found.values():
            values.update({(id(container), key): value for key, value in _content(container).items()})
        return Snapshot(values, found)

    def restore(self, snapshot: Snapshot) -> None:
        """Put everything back as it was."""
        grouped: dict[int, dict[Hashable, Any]] = {key: {} for key in snapshot.containers}
        for (owner, key), value in snapshot.values.items():
            if owner != _VARIABLES:
                grouped[owner][key] = value
        for owner, container in snapshot.containers.items():
            _refill(container, grouped[owner])
        self.put(snapshot, {slot: value for slot, value in snapshot.values.items() if slot[0] == _VARIABLES})

    def put(self, snapshot: Snapshot, values: Mapping[Slot, Any]) -> None:
        """Set the values of some slots of a snapshot."""
        variables = {key: value for (owner, key), value in values.items() if owner == _VARIABLES}
        if variables and self.get is not None and self.set is not None:
            now = self.get()
            self.set(tuple(variables.get(name, value) for name, value in zip(self.names, now, strict=True)))
        for (owner, key), value in values.items():
            if owner != _VARIABLES:
                _set(snapshot.containers[owner], key, value)


def name_of(slot: Slot) -> str:
    """A slot as an error names it."""
    return str(slot[1])


def _reached(blocks: tuple[Callable[..., Any], ...]) -> Iterator[Any]:
    """What the closures of blocks hold, those of blocks within them included."""
    seen: set[int] = set()
    queue: list[Any] = list(blocks)
    while queue:
        function = queue.pop()
        for value in _cells(function):
            if id(value) in seen:
                continue
            seen.add(id(value))
            if isinstance(value, FunctionType):
                queue.append(value)
            elif isinstance(value, MethodType):
                yield value.__self__
            else:
                yield value


def _cells(function: Any) -> Iterator[Any]:
    cells: tuple[CellType, ...] = getattr(function, "__closure__", None) or ()
    names = function.__code__.co_freevars if cells else ()
    for name, cell in zip(names, cells, strict=True):
        if name != FLOW:
            try:
                yield cell.cell_contents
            except ValueError:  # not bound yet
                continue


def _walk(value: Any, found: dict[int, Any]) -> None:
    if isinstance(value, _LEAVES) or id(value) in found:
        return
    if isinstance(value, tuple):
        for part in value:
            _walk(part, found)
        return
    if isinstance(value, (list, dict, deque)):
        found[id(value)] = value
        for part in list(value.values() if isinstance(value, dict) else value):
            _walk(part, found)
    elif isinstance(value, nn.Module):
        _walk_module(value, found)
    elif hasattr(value, "__dict__") and not callable(value) and not type(value).__module__.startswith(_FOREIGN):
        found[id(value)] = value
        for part in list(vars(value).values()):
            _walk(part, found)


def _walk_module(module: nn.Module, found: dict[int, Any]) -> None:
    found[id(module)] = module
    if not type(module).__module__.startswith("torch.nn."):
        buffers = buffers_of(module)
        found[id(buffers)] = buffers
        for part in list(_content(module).values()):
            _walk(part, found)
    for child in module.children():
        if id(child) not in found:
            _walk_module(child, found)


def _content(container: Any) -> dict[Hashable, Any]:
    if isinstance(container, dict):
        return dict(container)
    if isinstance(container, (list, deque)):
        return dict(enumerate(container))
    if isinstance(container, nn.Module):
        if type(container).__module__.startswith("torch.nn."):
            return {}
        return {key: value for key, value in vars(container).items() if key not in _OF_EVERY_MODULE}
    return dict(vars(container))


def _set(container: Any, key: Any, value: Any) -> None:
    if isinstance(container, (dict, list, deque)):
        container[key] = value
    else:
        vars(container)[key] = value


def _refill(container: Any, content: Mapping[Hashable, Any]) -> None:
    if isinstance(container, list):
        container[:] = content.values()
    elif isinstance(container, deque):
        container.clear()
        container.extend(content.values())
    else:
        target = container if isinstance(container, dict) else vars(container)
        for key in [key for key in _content(container) if key not in content]:
            del target[key]
        if list(_content(container)) != list(content) and isinstance(container, dict):
            container.clear()
        target.update(content)
