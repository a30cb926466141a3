"""Python numbers that a model keeps, as tensors of one element: what is computed with them is what Python computes."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from ...spec.streams import STATELESS
from ...torch_internals.modules import tree_leaves, tree_map

DTYPES = {bool: torch.bool, int: torch.int64, float: torch.float64}

# A file holds whole numbers in 64 bits; Python's have no end.
LARGEST = torch.iinfo(torch.int64).max


def too_large(place: str) -> str:
    """Of a number that no file could hold."""
    return (
        f"The model cannot stream: {place} is a whole number that comes to have more than 64 bits, which a file has no "
        f"type for. Keep it below, such as {place} % 2**31. {STATELESS}"
    )


@dataclass(frozen=True)
class _Operator:
    """What Python computes of two numbers; `fractional` says of two whole ones whether that is a fraction."""

    compute: Callable[[Any, Any], Any]
    is_bitwise: bool = False
    fractional: Callable[[Any, Any], bool] = lambda left, right: False


# What gives one of its operands.
_CHOOSING = ("where", "maximum", "minimum", "clamp", "clip", "masked_fill")

# What makes a tensor of numbers.
_MAKING = ("tensor", "as_tensor", "scalar_tensor", "full")


def _names(name: str) -> tuple[str, ...]:
    return name, f"__{name}__"


_OPERATORS: Mapping[str, _Operator] = {
    **dict.fromkeys(_names("add"), _Operator(operator.add)),
    **dict.fromkeys(_names("sub"), _Operator(operator.sub)),
    **dict.fromkeys(_names("mul"), _Operator(operator.mul)),
    **dict.fromkeys(
        (*_names("div"), *_names("truediv"), "true_divide"), _Operator(operator.truediv, fractional=lambda *_: True)
    ),
    **dict.fromkeys((*_names("floordiv"), "floor_divide"), _Operator(torch.floor_divide)),
    **dict.fromkeys((*_names("mod"), "remainder"), _Operator(torch.remainder)),
    **dict.fromkeys(
        _names("pow"), _Operator(torch.pow, fractional=lambda _, power: not isinstance(power, Tensor) and power < 0)
    ),
    **{name: _Operator(getattr(operator, name)) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **{f"__{name}__": _Operator(getattr(operator, name)) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
    **dict.fromkeys((*_names("and"), "bitwise_and"), _Operator(operator.and_, is_bitwise=True)),
    **dict.fromkeys((*_names("or"), "bitwise_or"), _Operator(operator.or_, is_bitwise=True)),
    **dict.fromkeys((*_names("xor"), "bitwise_xor"), _Operator(operator.xor, is_bitwise=True)),
}


def _written(name: str) -> str:
    """The operator of one that writes to its first operand: `add` for `__iadd__` and `add_`; else empty."""
    if name.endswith("_") and name[:-1] in _OPERATORS:
        return name[:-1]
    plain = f"__{name[3:]}" if name.startswith("__i") else ""
    return plain if plain in _OPERATORS else ""


def _reversed(name: str) -> str:
    """The operator of one whose operands are given in reverse: `__pow__` for `__rpow__`; else empty."""
    plain = f"__{name[3:]}" if name.startswith("__r") else ""
    return plain if plain in _OPERATORS else ""


class Numbers(TorchFunctionMode):
    """Within the block these tensors, and those computed from them alone, are Python numbers.

    None is written in place, since `self.steps += 1` makes another number and changes none. Their floats have 64 bits,
    as those of Python, and beside a tensor they take its dtype, as those of Python do.
    """

    def __init__(self, numbers: Iterable[Tensor]) -> None:
        super().__init__()
        self._known = {id(number): number for number in numbers}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        name = getattr(func, "__name__", "")
        if _reversed(name) and len(args) == 2:
            name, args = _reversed(name), args[::-1]
        elif _written(name) and len(args) == 2 and self._is_number(args[0]):
            name = _written(name)
        found = _OPERATORS.get(name)
        tensors = [leaf for leaf in tree_leaves((args, kwargs or {})) if isinstance(leaf, Tensor)]
        others = [tensor for tensor in tensors if not self._is_number(tensor)]
        if len(others) == len(tensors):
            return func(*args, **(kwargs or {}))
        if name in _MAKING:
            return _made(func, args, kwargs or {})
        if found is not None and len(args) == 2 and not kwargs:
            result = self._operated(found, *args)
        else:
            result = func(*args, **(kwargs or {})) if not others else self._mixed(func, others, args, kwargs or {})
        if isinstance(result, Tensor) and not others:
            self._known[id(result)] = result
        return result

    def _mixed(
        self, func: Callable[..., Any], others: Sequence[Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """What another function computes of tensors and numbers: these take no part in what dtype comes out."""
        dtypes = {other.dtype for other in others}
        if torch.float64 in dtypes:
            return func(*args, **kwargs)
        # An index keeps its dtype.
        is_choice = getattr(func, "__name__", "") in _CHOOSING
        whole = {dtype for dtype in dtypes if not dtype.is_floating_point and dtype != torch.bool}

        def beside(leaf: Any) -> Any:
            if not self._is_number(leaf) or _kind(leaf) is bool:
                return leaf
            is_narrow = is_choice and _kind(leaf) is int and len(whole) == 1
            return leaf.to(next(iter(whole))) if is_narrow else _in_default(leaf)

        args, kwargs = tree_map(beside, (args, dict(kwargs)))
        return func(*args, **kwargs)

    def _is_number(self, value: Any) -> bool:
        return id(value) in self._known

    def _operated(self, found: _Operator, left: Any, right: Any) -> Any:
        if all(self._is_number(each) or type(each) in DTYPES for each in (left, right)):
            return found.compute(*_of_numbers(found, left, right))
        if isinstance(left, Tensor) and isinstance(right, Tensor):
            return found.compute(
                *(_beside(each, other, self._is_number(each)) for each, other in ((left, right), (right, left)))
            )
        return found.compute(left, right)


def _made(make: Callable[..., Tensor], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor:
    """A tensor that is made from numbers: of PyTorch's default dtype where these are floats and no other is given."""
    data = args[0] if args else None
    if isinstance(data, (list, tuple)) and any(isinstance(each, Tensor) for each in data):
        kind = float if any(_kind(each) is float for each in data) else int
        parts = [_tensor(each, DTYPES[kind]) for each in data]
        made = torch.stack(parts).to(kwargs.get("dtype"))
    elif isinstance(data, Tensor):
        made = data.clone().to(kwargs.get("dtype"))
    else:
        made = make(*args, **kwargs)
    return made if kwargs.get("dtype") is not None else _in_default(made)


def _in_default(number: Tensor) -> Tensor:
    return number.to(torch.get_default_dtype()) if number.is_floating_point() else number


def _tensor(number: Any, dtype: torch.dtype) -> Tensor:
    return number.to(dtype) if isinstance(number, Tensor) else torch.full((), number, dtype=dtype)


def _of_numbers(found: _Operator, left: Any, right: Any) -> list[Tensor]:
    """Two numbers as tensors of the kind that Python computes with."""
    kinds = {_kind(each) for each in (left, right)}
    if float in kinds or found.fractional(left, right):
        dtype = torch.float64
    else:
        dtype = torch.bool if kinds == {bool} and found.is_bitwise else torch.int64
    return [_tensor(each, dtype) for each in (left, right)]


def _beside(each: Tensor, other: Tensor, is_number: bool) -> Tensor:
    """An operand; a number in such a dtype that the result has the one that it has with Python's number."""
    if not is_number:
        return each
    wanted = torch.result_type(other, _kind(each)(1))
    return each if torch.result_type(other, each) == wanted else each.to(wanted)


def _kind(number: Any) -> type:
    """The type that Python has for a number."""
    if not isinstance(number, Tensor):
        return type(number)
    return float if number.is_floating_point() else bool if number.dtype == torch.bool else int
