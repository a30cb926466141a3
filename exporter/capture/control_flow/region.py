"""What a block of the user's code reads and writes of the tensors that were there before it.

A write to such a tensor would happen whether or not the block runs, and once for all steps: within the block it goes to
a copy, which everything after it in the block then reads. Whoever runs the block says what the tensor is afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import SymInt, Tensor
from torch.overrides import TorchFunctionMode

from ...torch_internals.modules import is_view, tree_leaves, tree_map
from ...torch_internals.symbols import expression
from .numbers import is_symbolic
from .refusals import WriteToViewError

# What only asks how a tensor is, and not what is in it.
_ABOUT = {"size", "dim", "__len__", "is_floating_point", "element_size", "stride", "numel", "is_contiguous", "__get__"}

_DATA = Tensor.data.__get__  # type: ignore[attr-defined]


@dataclass(frozen=True)
class StepWrite:
    """`target[index] = value`, whose index is another one in every step."""

    target: Tensor
    index: Any
    value: Any


@dataclass(eq=False)
class Region(TorchFunctionMode):
    """Watches a block. `written` maps the identity of a tensor to it and its copy.

    Args:
        is_step: whether an index names the step of a loop; a write there is kept in `step_writes` and not done.

    `through_views` are tensors to which the block wrote in a way that no copy follows: it has to run again with copies.
    """

    is_step: Callable[[Any], bool] = lambda index: False
    direct: frozenset[int] = frozenset()
    read: set[int] = field(default_factory=set)
    written: dict[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    step_writes: list[StepWrite] = field(default_factory=list)
    made: dict[int, Tensor] = field(default_factory=dict)
    symbols: set[Any] = field(default_factory=set)
    through_views: list[Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._kept: list[Tensor] = []
        # What each view of a tensor from before the block is a view of, by identity.
        self._views: dict[int, Tensor] = {}

    def add(self, *tensors: Tensor) -> None:
        """Tensors that the block may write to, as its own."""
        self.made.update({id(tensor): tensor for tensor in tensors})

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if func == _DATA:
            # The same elements: what is written to them is written to the tensor.
            return args[0]
        if name in _ABOUT:
            return func(*tree_map(self._now, args), **kwargs)
        if (
            name == "__setitem__"
            and self._is_outer(args[0])
            and self.is_step(args[1])
            and id(args[0]) not in self.direct
        ):
            self._reads(args[1:])
            self.step_writes.append(StepWrite(args[0], args[1], tree_map(self._now, args[2])))
            return None
        if writes(name) and args and isinstance(args[0], Tensor):
            self._write(args[0], also_reads=name not in ("__setitem__", "copy_", "zero_", "fill_"))
            self._reads(args[1:])
        else:
            self._reads((args, kwargs))
        if isinstance(out := kwargs.get("out"), Tensor):
            self._write(out, also_reads=False)
        result = func(*tree_map(self._now, args), **tree_map(self._now, kwargs))
        # What a function returns as it was given it, as `contiguous` may, the block has not made.
        given = {id(leaf) for leaf in tree_leaves((args, kwargs))}
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor) and id(leaf) not in given]
        self.made.update({id(leaf): leaf for leaf in made})
        base = self._base(args[0]) if args else None
        if base is not None:
            self._views.update({id(leaf): base for leaf in made if is_view(leaf)})
        return result

    def _base(self, tensor: Any) -> Tensor | None:
        """The tensor from before the block that another is, or is a view of; None if it is none."""
        found: Tensor | None = tensor if self._is_outer(tensor) else self._views.get(id(tensor))
        return found

    def _now(self, value: Any) -> Any:
        pair = self.written.get(id(value))
        return value if pair is None else pair[1]

    def _is_outer(self, tensor: Any) -> bool:
        return isinstance(tensor, Tensor) and id(tensor) not in self.made and id(tensor) not in self.written

    def _reads(self, values: Any) -> None:
        for leaf in tree_leaves(values):
            if isinstance(leaf, Tensor):
                self.read.add(id(leaf))
                self._kept.append(leaf)
            elif is_symbolic(leaf):
                self.symbols |= expression(leaf).free_symbols
            elif isinstance(leaf, slice):
                self._reads((leaf.start, leaf.stop, leaf.step))

    def _write(self, tensor: Tensor, *, also_reads: bool) -> None:
        if also_reads:
            self.read.add(id(tensor))
        if self._is_outer(tensor):
            if is_view(tensor):
                raise WriteToViewError
            copy = tensor.clone()
            self.written[id(tensor)] = (tensor, copy)
            self.add(copy)
        elif id(tensor) in self._views:
            self.through_views.append(self._views[id(tensor)])


def writes(name: str) -> bool:
    """Whether the function of this name writes to its first argument; `__eq__` and its like do not."""
    if name.startswith("__"):
        return name == "__setitem__" or (
            name.startswith("__i") and name not in ("__index__", "__int__", "__invert__", "__iter__")
        )
    return name.endswith("_")


def names_step(index: Any, i: Any) -> bool:
    """Whether one of the numbers in an index, or a slice of fixed width, is computed from the number of a step."""
    parts = index if isinstance(index, tuple) else (index,)
    return sum(step_in(part, i) is not None for part in parts) == 1 and all(
        part is Ellipsis or isinstance(part, (int, SymInt, slice)) for part in parts
    )


def step_in(part: Any, i: Any) -> tuple[SymInt, int | None] | None:
    """Where a part of an index that is computed from the number of a step begins, and the width of a slice.

    None for any other part.
    """
    if isinstance(part, SymInt):
        return (part, None) if expression(i) in expression(part).free_symbols else None
    if not isinstance(part, slice) or part.step not in (None, 1) or not isinstance(part.start, SymInt):
        return None
    width = None if part.stop is None else expression(part.stop - part.start)
    found = step_in(part.start, i)
    return None if found is None or width is None or not width.is_Integer else (found[0], int(width))


def dimension_of(index: Sequence[Any], at: int, dims: int) -> int:
    """The dimension of a tensor of `dims` that the part of an index at this place is about."""
    if any(part is Ellipsis for part in index[:at]):
        return dims - sum(part is not None for part in index[at:])
    return sum(part is not None for part in index[:at])
