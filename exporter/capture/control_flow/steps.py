"""What is known of a step of a loop: what it carries on, and what happened when it was run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from ...torch_internals.modules import tree_leaves
from .region import Region
from .state import UNDEFINED, Slot, Snapshot, Undefined
from .values import Meta


@dataclass(frozen=True)
class Carried:
    """A slot that a step reads and changes: the structure of its value, and the meta of each leaf.

    Of a whole list, the structure is that of an item, and `numbers` says which of its leaves are numbers.
    """

    form: Any
    leaves: tuple[Meta, ...]
    numbers: tuple[bool, ...] = ()


@dataclass(frozen=True)
class Counter:
    """A number that grows by the same amount in every step."""

    by: Any


@dataclass
class Plan:
    """What a loop carries, as far as the rounds so far show; `written` are tensors that it writes to in place.

    `direct` are tensors of which a step reads what others have written, which are carried whole. `unread` are slots
    that no step reads before it writes to them, as was seen with a placeholder there.
    """

    carried: dict[Slot, Carried | Counter] = field(default_factory=dict)
    written: dict[int, Tensor] = field(default_factory=dict)
    direct: frozenset[int] = frozenset()
    unread: frozenset[Slot] = frozenset()
    is_stopped: bool = False

    @property
    def grows(self) -> bool:
        """Whether a carried tensor has another size after every step."""
        kept = (each for each in self.carried.values() if isinstance(each, Carried))
        return any(not meta.is_constant for each in kept for meta in each.leaves)

    @property
    def groups(self) -> set[int]:
        """The groups of carried sizes that are equal in every step."""
        kept = (each for each in self.carried.values() if isinstance(each, Carried))
        return {meta.group for each in kept for meta in each.leaves if meta.group is not None}

    def key(self) -> object:
        carried = sorted(map(repr, self.carried.items()))
        return repr((carried, sorted(self.written), sorted(self.direct), self.is_stopped))


@dataclass(frozen=True)
class Placed:
    """What stands in a slot at the beginning of a step: the value, and the tensors that it is made of."""

    value: Any
    tensors: tuple[Tensor, ...]


@dataclass(frozen=True)
class Step:
    """One step that was run: what was in the slots at its beginning and end, and what happened in between."""

    number: Any
    before: Snapshot
    placed: Mapping[Slot, Placed]
    copies: Mapping[int, Tensor]
    after: Snapshot
    region: Region
    stops: Any
    reads: Mapping[int, set[str]]
    step: Tensor | None = None

    def value(self, slot: Slot) -> Any:
        """What was in a slot at the beginning."""
        return self.placed[slot].value if slot in self.placed else self.before.values.get(slot, UNDEFINED)

    def later(self, slot: Slot) -> Any:
        """What is in a slot at the end; a container that nothing reaches any more is as it was."""
        if slot[0] and slot[0] not in self.after.containers:
            return self.value(slot)
        return self.after.values.get(slot, UNDEFINED)


def leaves_of(value: Any) -> list[Any]:
    """The tensors and numbers in a value."""
    return [] if isinstance(value, Undefined) else list(tree_leaves(value))
