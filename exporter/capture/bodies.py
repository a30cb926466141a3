"""Bring PyTorch's control flow operators into a capture as users call them, with any function for a body.

The operators themselves take a body that computes from its operands alone, returns nothing that it was given, and
returns carries laid out in memory as it was given them. So here

* tensors and sizes that a body reads from around it become operands;
* carries go in, and all outputs come out, as contiguous copies;
* recurrent layers and substituted functions are in a body what they are outside;
* `map` becomes a `scan` without carries, and `associative_scan` a `scan` of T - 1 steps.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import SymInt, Tensor, nn
from torch.overrides import TorchFunctionMode

from ..torch_internals.collecting_loop import COLLECTING_LOOP
from ..torch_internals.control_flow import (
    ASSOCIATIVE_SCAN,
    COND,
    MAP,
    SCAN,
    WHILE_LOOP,
    calling_operators,
    is_real,
    is_recorded,
    patched_generic_scan,
    recorded_by,
    symbols_of,
    taking_constants,
    unbatched,
    unrecorded,
)
from ..torch_internals.modules import tree_flatten, tree_leaves, tree_map, tree_unflatten

Function = Callable[..., Any]


@contextmanager
def capturing_control_flow(*modes: TorchFunctionMode) -> Iterator[None]:
    """Within the block these modes hold, also in the bodies of control flow operators; exclusive."""
    control_flow = ControlFlow(modes)
    with (
        calling_operators(),
        patched_generic_scan(_generic_scan),
        taking_constants(),
        control_flow,
        ExitStack() as stack,
    ):
        for mode in modes:
            stack.enter_context(mode)
        yield


class ControlFlow(TorchFunctionMode):
    """The mode that takes the calls of the operators; `modes` are entered in every body."""

    def __init__(self, modes: Sequence[TorchFunctionMode]) -> None:
        super().__init__()
        self._modes = modes
        # Of the capture, and of every body so far: what a body reads may come from any that it is in.
        self._recorders: list[Any] = []
        self._handlers: Mapping[Any, Function] = {
            COND: self._cond,
            SCAN: self._scan,
            WHILE_LOOP: self._while_loop,
            COLLECTING_LOOP: self._collecting_loop,
            MAP: self._map,
            ASSOCIATIVE_SCAN: self._associative_scan,
        }

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return self._handlers.get(func, func)(*args, **(kwargs or {}))

    def _body(self, function: Function) -> Function:
        """A function under the modes that hold where the operator was called."""

        def body(*args: Any) -> Any:
            with self, ExitStack() as stack:
                for mode in self._modes:
                    stack.enter_context(mode)
                return function(*args)

        return body

    def _outside(self, functions: Sequence[Function], operands: Sequence[Any]) -> _Outside:
        """What functions of these operands read besides: tensors, and sizes that no such tensor has."""
        if (recorder := recorded_by()) is not None:
            self._recorders.append(recorder)
        reads = _Reads()
        with unrecorded():
            copies = [_copy(operand) for operand in operands]
            with reads:
                for function in functions:
                    function(*copies)
        tensors = [each for each in reads.tensors.values() if self._is_outside(each)]
        shown = frozenset().union(*map(_shown, (*operands, *tensors)))
        numbers = [number for number in reads.numbers.values() if not symbols_of(number) <= shown]
        # The operators refuse operands that share their memory, and take two that are one for each other.
        given = [tensor if isinstance(tensor, nn.Parameter) else _copy(tensor) for tensor in tensors]
        return _Outside([*tensors, *numbers], [*given, *numbers])

    def _is_outside(self, tensor: Tensor) -> bool:
        return is_real(tensor) or any(is_recorded(tensor, recorder) for recorder in self._recorders)

    def _cond(self, pred: Any, true_fn: Function, false_fn: Function, operands: Sequence[Any] = ()) -> Any:
        branches = [_Body(self._body(true_fn)), _Body(self._body(false_fn))]
        outside = self._outside(branches, operands)
        outputs = COND(pred, *(_copying(_closed(branch, outside)) for branch in branches), (*operands, *outside.given))
        return branches[0].formed(outputs)

    def _scan(
        self, combine_fn: Function, init: Sequence[Tensor], xs: Sequence[Tensor], additional_inputs: Sequence[Any]
    ) -> Any:
        body = _Body(self._body(combine_fn))
        elements = [x.new_empty(x.shape[1:]) for x in xs]
        outside = self._outside([body], (*init, *elements, *additional_inputs))
        step = _copying(_closed(body, outside))
        return body.formed(SCAN(step, [*map(_copy, init)], [*xs], (*additional_inputs, *outside.given)))

    def _while_loop(
        self,
        cond_fn: Function,
        body_fn: Function,
        carried: Sequence[Any],
        additional: Sequence[Any],
        mutated_arg_indices: str = "",
    ) -> Any:
        condition, body = self._body(cond_fn), _Body(self._body(body_fn))
        outside = self._outside([condition, body], (*carried, *additional))
        return body.formed(
            WHILE_LOOP(
                _closed(condition, outside),
                _copying(_closed(body, outside)),
                (*map(_copy, carried),),
                (*additional, *outside.given),
            )
        )

    def _collecting_loop(self, body: Function, go: Tensor, carried: Sequence[Tensor], additional: Sequence[Any]) -> Any:
        step = _Body(self._body(body))
        outside = self._outside([step], (*carried, *additional))
        return COLLECTING_LOOP(
            _copying(_closed(step, outside)), _copy(go), (*map(_copy, carried),), (*additional, *outside.given)
        )

    def _map(self, f: Function, xs: Sequence[Tensor], pos_args: Sequence[Any]) -> Any:
        return self._scan(f, [], xs, pos_args)

    def _associative_scan(
        self, combine_fn: Function, xs: Sequence[Tensor], additional_inputs: Sequence[Any]
    ) -> list[Tensor]:
        def step(*operands: Any) -> list[Tensor]:
            combined = tree_leaves(combine_fn(*operands))
            return [*combined, *combined]

        outputs = self._scan(step, [x[0] for x in xs], [x[1:] for x in xs], additional_inputs)
        return [torch.cat([x[:1], after]) for x, after in zip(xs, outputs[len(xs) :], strict=True)]


def _generic_scan(operator: Any, leaves: Sequence[Tensor], dim: int = 0, additional_inputs: Any = ()) -> Any:
    """What `associative_scan` does with an operator that it has batched along the first dimension: unbatched here."""
    assert dim == 0
    single = functools.partial(
        operator.func, **{**operator.keywords, "combine_fn": unbatched(operator.keywords["combine_fn"])}
    )
    return ASSOCIATIVE_SCAN(single, leaves, additional_inputs)


def _copy(value: Any) -> Any:
    return value.clone(memory_format=torch.contiguous_format) if isinstance(value, Tensor) else value


def _copying(function: Function) -> Function:
    return lambda *args: tuple(map(_copy, function(*args)))


class _Body:
    """A function whose outputs are a flat tuple, and what they were before."""

    def __init__(self, function: Function) -> None:
        self._function = function
        self._form: Any = None

    def __call__(self, *args: Any) -> tuple[Any, ...]:
        outputs, self._form = tree_flatten(self._function(*args))
        return tuple(outputs)

    def formed(self, outputs: Sequence[Any]) -> Any:
        """Outputs of the operator in the form that the function, which has run, returns its own in."""
        return tree_unflatten(list(outputs), self._form)


@dataclass(frozen=True)
class _Outside:
    """What a body reads from around it, and what it is given for that."""

    read: Sequence[Any]
    given: Sequence[Any]


def _shown(value: Any) -> frozenset[Any]:
    """The symbols that are sizes of a tensor, or the number given."""
    numbers = value.shape if isinstance(value, Tensor) else [value]
    found = [symbols_of(number) for number in numbers if isinstance(number, SymInt)]
    return frozenset().union(*(symbols for symbols in found if len(symbols) == 1))


class _Reads(TorchFunctionMode):
    """Notes the tensors that functions are given, and the symbolic numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.tensors: dict[int, Tensor] = {}
        self.numbers: dict[Any, SymInt] = {}

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        for value in tree_leaves((args, kwargs)):
            if isinstance(value, Tensor):
                self.tensors.setdefault(id(value), value)
            elif isinstance(value, SymInt):
                self.numbers.setdefault(value.node.expr, value)
        return func(*args, **kwargs)


def _closed(function: Function, outside: _Outside) -> Function:
    """The function with what it reads from around it as further operands."""
    many = len(outside.read)

    def body(*args: Any) -> Any:
        own, given = args[: len(args) - many], args[len(args) - many :]
        others = {id(old): new for old, new in zip(outside.read, given, strict=True) if isinstance(old, Tensor)}
        with _Instead(others), _Constants():
            return function(*own)

    return body


class _Instead(TorchFunctionMode):
    """Gives every function other tensors instead of these, known by their ids."""

    def __init__(self, others: Mapping[int, Tensor]) -> None:
        super().__init__()
        self._others = others

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        args, kwargs = tree_map(lambda value: self._others.get(id(value), value), (args, kwargs or {}))
        return func(*args, **kwargs)


class _Constants(TorchFunctionMode):
    """Makes the tensor of a list from its numbers, as a graph does: a body cannot hold a tensor of its own."""

    def __torch_function__(
        self, func: Function, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _made(*args, **(kwargs or {})) if func is torch.tensor else func(*args, **(kwargs or {}))


def _made(data: Any, *, dtype: torch.dtype | None = None, **_: Any) -> Tensor:
    if isinstance(data, Tensor):
        return data.to(dtype or data.dtype)
    if isinstance(data, np.ndarray):
        dtype, data = dtype or getattr(torch, data.dtype.name), data.tolist()
    if isinstance(data, (list, tuple)):
        rows = [_made(row, dtype=dtype) for row in data]
        kind = functools.reduce(torch.promote_types, [row.dtype for row in rows], rows[0].dtype) if rows else dtype
        return torch.stack([row.to(kind) for row in rows]) if rows else torch.zeros(0, dtype=kind)
    return torch.full((), data, dtype=dtype)
