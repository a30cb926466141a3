"""Values that a loop carries or a decision chooses between: structures of tensors and numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import SymBool, SymFloat, SymInt, Tensor

from ...torch_internals.modules import tree_flatten, tree_unflatten
from ...torch_internals.symbols import expression
from .numbers import as_tensor, dtype_of, is_data_dependent, is_symbolic
from .refusals import DifferentFormsError
from .state import Undefined


@dataclass(frozen=True)
class Maybe:
    """An item that a step puts in a list on a condition."""

    condition: Tensor
    item: Any


@dataclass(frozen=True)
class Front:
    """An item that a step puts at the front of a list; it stands at the end until the loop is over."""

    item: Any


@dataclass(frozen=True)
class Meta:
    """What is known of a leaf before it has a value. `kind` is "tensor", "number" or "other".

    `growth` is the dimension along which it is longer after every step, and by how much; `ragged` that along which it
    has another size in every step; `shape` is then that before the loop. Sizes and whole numbers of one `group` are
    equal in every step.
    """

    kind: str
    shape: tuple[Any, ...] = ()
    dtype: torch.dtype | None = None
    growth: tuple[int, int] | None = None
    ragged: int | None = None
    group: int | None = None

    @property
    def is_constant(self) -> bool:
        """Whether the shape is the same in every step."""
        return self.growth is None and self.ragged is None

    def shape_at(self, i: Any, sizes: Mapping[int, Any]) -> list[Any]:
        """The shape before step `i`, with the sizes of groups there."""
        if self.ragged is not None:
            assert self.group is not None
            return [*self.shape[: self.ragged], sizes[self.group], *self.shape[self.ragged + 1 :]]
        dim, by = self.growth or (0, 0)
        return [size + by * i if by and k == dim else size for k, size in enumerate(self.shape)]

    def empty(self, i: Any, sizes: Mapping[int, Any]) -> Tensor:
        return torch.zeros(self.shape_at(i, sizes), dtype=self.dtype)


def is_number(value: Any) -> bool:
    return isinstance(value, (bool, int, float, SymInt, SymFloat, SymBool))


def meta_of(leaf: Any) -> Meta:
    if isinstance(leaf, Tensor):
        return Meta("tensor", tuple(leaf.shape), leaf.dtype)
    if is_number(leaf):
        return Meta("number", (), dtype_of(leaf))
    return Meta("other")


def same_sizes(a: Any, b: Any) -> bool:
    return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))


def same(a: Any, b: Any) -> bool:
    """Whether two numbers are one and the same for all sizes."""
    if is_symbolic(a) or is_symbolic(b):
        return bool(expression(a) - expression(b) == 0) if not isinstance(a, SymBool) else a is b
    return bool(a == b)


def is_changed(before: Any, after: Any) -> bool:
    """Whether a slot holds something else than before."""
    if before is after:
        return False
    if isinstance(before, Undefined) or isinstance(after, Undefined):
        return True
    a, form_a = tree_flatten(before)
    b, form_b = tree_flatten(after)
    if form_a != form_b:
        return True
    return any(not _alike(x, y) for x, y in zip(a, b, strict=True))


def _alike(a: Any, b: Any) -> bool:
    if a is b:
        return True
    if is_number(a) and is_number(b):
        return same(a, b) and isinstance(a, (bool, SymBool)) == isinstance(b, (bool, SymBool))
    if isinstance(a, (str, bytes, torch.dtype, torch.device)):
        return bool(a == b)
    return False


def widened(before: Meta, after: Meta) -> Meta:
    """The meta that a carried leaf needs, so that its initial value and a later one both have it.

    Raises:
        DifferentFormsError: there is none.
    """
    if before.kind == after.kind and before.dtype == after.dtype and same_sizes(before.shape, after.shape):
        return before
    if "other" in (before.kind, after.kind) or after.dtype is None or before.dtype is None:
        raise DifferentFormsError("a step leaves another kind of value than it began with")
    promoted = torch.promote_types(before.dtype, after.dtype)
    kind = "number" if before.kind == after.kind == "number" else "tensor"
    if promoted != after.dtype:
        raise DifferentFormsError(f"a step begins with {before.dtype} and ends with {after.dtype}")
    if len(before.shape) > len(after.shape):
        raise DifferentFormsError("a step ends with a tensor of fewer dimensions than it began with")
    offset = len(after.shape) - len(before.shape)
    for a, b in zip(before.shape, after.shape[offset:], strict=True):
        if not same(a, b) and not same(a, 1):
            raise DifferentFormsError(f"a step begins with size {a} and ends with {b}")
    return Meta(kind, after.shape, after.dtype)


def growth_of(was: Any, now: Any) -> tuple[int, int] | None:
    """The one dimension along which a tensor has become longer, and by how much, if that is a number."""
    if not isinstance(was, Tensor) or not isinstance(now, Tensor) or was.dtype != now.dtype or was.dim() != now.dim():
        return None
    longer = [k for k, (a, b) in enumerate(zip(was.shape, now.shape, strict=True)) if not same(a, b)]
    if len(longer) != 1:
        return None
    by = expression(now.shape[longer[0]]) - expression(was.shape[longer[0]])
    return (longer[0], int(by)) if by.is_Integer and by > 0 else None


def same_but_for(dim: int, was: Any, now: Any) -> bool:
    """Whether a tensor is another in the size of this dimension at most."""
    if not isinstance(was, Tensor) or not isinstance(now, Tensor) or was.dtype != now.dtype or was.dim() != now.dim():
        return False
    return all(same(a, b) for k, (a, b) in enumerate(zip(was.shape, now.shape, strict=True)) if k != dim)


def ragged_of(was: Any, now: Any) -> int | None:
    """The one dimension along which a tensor has another size than before, if that depends on values."""
    if not isinstance(was, Tensor) or not isinstance(now, Tensor) or was.dtype != now.dtype or was.dim() != now.dim():
        return None
    changed = [k for k, (a, b) in enumerate(zip(was.shape, now.shape, strict=True)) if not same(a, b)]
    return changed[0] if len(changed) == 1 and is_data_dependent(now.shape[changed[0]]) else None


def as_leaf(leaf: Any, meta: Meta) -> Tensor:
    """A leaf as a tensor of this shape and dtype."""
    tensor = as_tensor(leaf)
    tensor = tensor if tensor.dtype == meta.dtype else tensor.to(meta.dtype)
    if not meta.is_constant:
        return tensor
    return tensor if same_sizes(tensor.shape, meta.shape) else tensor.expand(meta.shape)


def map_pairs(function: Any, a: Any, b: Any) -> Any:
    """`function` of each pair of leaves; what is undefined in one is the other's.

    Raises:
        DifferentFormsError: the structures differ.
    """
    if isinstance(a, Undefined):
        return b
    if isinstance(b, Undefined):
        return a
    leaves_a, form_a = tree_flatten(a)
    leaves_b, form_b = tree_flatten(b)
    if form_a != form_b:
        raise DifferentFormsError("the two ways lead to values of different forms")
    return tree_unflatten([function(x, y) for x, y in zip(leaves_a, leaves_b, strict=True)], form_a)
