"""Which functions are rewritten when the model calls them, and what Python's built-in ones do with unknown numbers."""

from __future__ import annotations

import builtins
import functools
import operator
from collections import deque
from collections.abc import Callable
from types import BuiltinMethodType, FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import SymBool, SymFloat, SymInt, Tensor, nn
from torch.nn.utils import rnn

from .autograd_functions import applied, takes_context, with_context
from .collected import Collected, Ragged, Repeated, listed
from .constants import Constants
from .doublings import bit_length, logarithms
from .exits import FLOW
from .math_functions import math_functions
from .numbers import Ranges, as_number, as_plain, as_tensor, is_symbolic
from .refusals import UnrolledError
from .rewriting import rewritten
from .rounding import rounding_functions, truncated
from .series import (
    Series,
    enumerated,
    holds_collected,
    is_series,
    item_of,
    range_of,
    reverse,
    sliced,
    split_by_one,
    split_evenly,
    unbound,
    zipped,
)
from .values import Front

if TYPE_CHECKING:
    from .flow import Flow

# Packages whose code is taken as it is.
_NATIVE = {
    *("torch", "numpy", "builtins", "typing", "collections", "functools", "itertools", "math", "operator", "re"),
    *("rnn_export", "exporter", "sympy", "abc", "copy", "warnings", "logging", "contextlib", "inspect", "onnx"),
}
_NATIVE_PARTS = ("torch.", "numpy.", "collections.", "rnn_export.", "exporter.", "sympy.", "importlib.", "onnx.")


def is_native(module: str | None) -> bool:
    """Whether functions of a module are left as they are."""
    return module is None or module in _NATIVE or module.startswith(_NATIVE_PARTS)


_Result = TypeVar("_Result")

# PyTorch's names for the arguments of functions, and ours.
_ARGUMENTS = {"input": "tensor", "split_size_or_sections": "size", "split_size": "size", "axis": "dim"}


def _named_as_in_pytorch(method: Callable[..., _Result]) -> Callable[..., _Result]:
    """A method whose arguments may be given by the names that they have in PyTorch."""

    @functools.wraps(method)
    def called(self: Calls, *args: Any, **named: Any) -> _Result:
        return method(self, *args, **{_ARGUMENTS.get(name, name): value for name, value in named.items()})

    return called


class Calls:
    """What `flow.call` gives for a function."""

    def __init__(self, flow: Flow, ranges: Ranges) -> None:
        self._flow = flow
        self._ranges = ranges
        self.constants = Constants()
        self._handlers: dict[Any, Callable[..., Any]] = self._table()

    def callee(self, function: Any) -> Callable[..., Any]:
        """What is called in place of a function of the model's code."""
        handler = self._handler(function)
        called = function if handler is None else handler

        def noting(*args: Any, **kwargs: Any) -> Any:
            self._flow.reads_lists(*args, *kwargs.values())
            if handler is None and not _keeps_items(function):
                _refuse_collected(function, (*args, *kwargs.values()))
            return called(*args, **kwargs)

        # Rewritten code notes by itself what it reads, and the length of a list is not what is in it.
        return called if self._notes_itself(function, called) else noting

    @staticmethod
    def _notes_itself(function: Any, called: Any) -> bool:
        code = getattr(getattr(called, "__func__", called), "__code__", None)
        own_class = isinstance(called, type) and not is_native(called.__module__)
        rewritten_code = code is not None and FLOW in code.co_freevars
        return function is len or own_class or rewritten_code or isinstance(called, nn.Module)

    def _handler(self, function: Any) -> Callable[..., Any] | None:
        if isinstance(function, functools.partial):
            return self._partial(function)
        try:
            found = self._handlers.get(function)
        except TypeError:  # not hashable
            return None
        if found is not None:
            return found
        if isinstance(function, BuiltinMethodType) and isinstance(function.__self__, (list, tuple)):
            return self._list_method(function)
        if (forward := applied(function)) is not None:
            own = self.rewritten(forward)
            return with_context(own) if own is not None and takes_context(function) else own
        bound = getattr(function, "__self__", None)
        return self._method(bound, function) if isinstance(bound, (Tensor, SymInt)) else self.rewritten(function)

    def _method(self, bound: Tensor | SymInt, function: Any) -> Callable[..., Any] | None:
        """What is called in place of a method of a tensor or of a symbolic number."""
        if isinstance(bound, SymInt):
            return (lambda: bit_length(bound)) if function.__name__ == "bit_length" else self.rewritten(function)
        method = _TENSOR_METHODS.get(function.__name__)
        return None if method is None else functools.partial(getattr(self, method), bound)

    def _partial(self, function: functools.partial[Any]) -> Callable[..., Any] | None:
        # PyTorch puts such a one in the place of max and min during a capture.
        if "real_callable" in function.keywords:
            return self._handlers[function.keywords["real_callable"]]
        inner = self._handler(function.func)
        return None if inner is None else functools.partial(inner, *function.args, **function.keywords)

    def rewritten(self, function: Any) -> Callable[..., Any] | None:
        """The rewritten form of a function or method of the model's own code; None for any other."""
        if isinstance(function, MethodType):
            inner = self.rewritten(function.__func__)
            return None if inner is None else MethodType(inner, function.__self__)
        if isinstance(function, FunctionType):
            wrapped = getattr(function, "__wrapped__", None)
            if wrapped is not None and is_native(function.__module__):
                return self.rewritten(wrapped) or wrapped
            if is_native(function.__module__) or FLOW in function.__code__.co_freevars:
                return None
            return rewritten(function, self._flow)
        if isinstance(function, (type, nn.Module)) or is_native(type(function).__module__):
            return None
        call = getattr(type(function), "__call__", None)  # noqa: B004
        return self.rewritten(MethodType(call, function)) if isinstance(call, FunctionType) else None

    def _list_method(self, function: Any) -> Callable[..., Any] | None:
        owner = function.__self__
        if function.__name__ == "insert" and self._flow.is_before_step(owner):
            return lambda place, item: self._insert(owner, place, item)
        if not holds_collected(owner) or function.__name__ in ("append", "extend", "insert", "clear", "copy"):
            return None
        if function.__name__ == "reverse":
            return lambda: owner.__setitem__(slice(None), sliced(owner, slice(None, None, -1)))
        if function.__name__ == "pop":
            return lambda place=-1: self._pop(owner, place)
        return None

    def _pop(self, owner: list[Any], place: int) -> Any:
        if place not in (0, -1) or self._flow.is_before_step(owner):
            raise UnrolledError("an item is taken out of a list of unknown length, by a step or from its middle")
        if not isinstance(owner[place], Collected):
            return list.pop(owner, place)
        item = item_of(owner, place)
        owner[:] = sliced(owner, slice(1, None) if place == 0 else slice(None, -1))
        return item

    def _insert(self, owner: list[Any], place: Any, item: Any) -> None:
        if place != 0:
            raise UnrolledError("a step inserts an item in the middle of a list")
        owner.append(Front(item))

    def _table(self) -> dict[Any, Callable[..., Any]]:
        of_sizes = {**rounding_functions(self._ranges), **logarithms()}
        return {
            builtins.range: self._range,
            builtins.len: self._flow.length,
            builtins.enumerate: self._enumerate,
            builtins.zip: self._zip,
            builtins.reversed: self._reversed,
            builtins.list: lambda *items: items[0] if items and isinstance(items[0], Series) else self._list(*items),
            builtins.tuple: lambda *items: (
                items[0] if items and isinstance(items[0], Series) else tuple(self._list(*items))
            ),
            builtins.isinstance: _isinstance,
            builtins.int: self._int,
            builtins.float: self._float,
            builtins.bool: lambda value=False: self._flow.truth(value),
            builtins.max: functools.partial(self._extreme, torch.sym_max, torch.amax, max, operator.gt),
            builtins.min: functools.partial(self._extreme, torch.sym_min, torch.amin, min, operator.lt),
            builtins.sum: self._sum,
            builtins.any: lambda items: self._all_or_any(items, self._flow.or_, any, torch.any),
            builtins.all: lambda items: self._all_or_any(items, self._flow.and_, all, torch.all),
            builtins.map: lambda function, *items: [self.callee(function)(*args) for args in zip(*items, strict=False)]
            if not any(map(is_series, items)) else self._mapped(function, *items),
            builtins.divmod: lambda left, right: (self._flow.quotient(left, right), self._flow.remainder(left, right)),
            **of_sizes,
            **math_functions(self.constants.value, of_sizes),
            torch.stack: self._stack,
            torch.cat: self._cat,
            torch.concat: self._cat,
            torch.vstack: self._vstack,
            torch.unbind: self._unbind,
            torch.split: self._split,
            torch.chunk: self._chunk,
            torch.squeeze: self._squeeze,
            torch.tensor: functools.partial(self._as_tensor, torch.tensor),
            torch.as_tensor: functools.partial(self._as_tensor, torch.as_tensor),
            torch.LongTensor: functools.partial(self._as_tensor, torch.LongTensor),
            rnn.pack_padded_sequence: lambda x, lengths, *args, **options: rnn.pack_padded_sequence(
                x, _as_lengths(lengths), *args, **options
            ),
            rnn.pad_sequence: self._pad_sequence,
        }  # fmt: skip

    def _range(self, *bounds: Any) -> Any:
        numbers = [self._item(bound) if isinstance(bound, Tensor) else bound for bound in bounds]
        return range_of(*numbers, nonnegative=lambda n: self._ranges.at_least(n, 0))

    def _is_long(self, items: Any) -> bool:
        return is_series(items) or (
            isinstance(items, Tensor) and items.dim() > 0 and (is_symbolic(items.shape[0]) or items.shape[0] >= 8)
        )

    def _enumerate(self, items: Any, start: Any = 0) -> Any:
        return enumerated(items, start) if self._is_long(items) else enumerate(items, start)

    def _reversed(self, items: Any) -> Any:
        if holds_collected(items):
            return sliced(items, slice(None, None, -1))
        return reverse(items) if is_series(items) else reversed(items)

    def _vstack(self, tensors: Any) -> Any:
        return self._cat([self._whole_rows(tensors)]) if holds_collected(tensors) else torch.vstack(tensors)

    def _zip(self, *items: Any, strict: bool = False) -> Any:
        if any(map(is_series, items)) and len(items) == 1 and holds_collected(items[0]) and len(items[0]) == 1:
            return zipped(*items)
        if len(items) == 1 and isinstance(items[0], Collected):
            return tuple([Collected(items[0].count, part)] for part in items[0].stacked)
        if any(isinstance(item, Collected) for item in items):
            whole = listed(list(items))
            return tuple([Collected(whole.count, part)] for part in whole.stacked)
        return zipped(*items) if any(map(self._is_long, items)) else zip(*items, strict=strict)

    def _list(self, *items: Any) -> list[Any]:
        if items and isinstance(items[0], Tensor) and items[0].dim() and is_symbolic(items[0].shape[0]):
            return list(unbound(items[0]))
        return list(*items)

    def _int(self, value: Any = 0, *base: Any) -> Any:
        if isinstance(value, Tensor):
            return self._item(value.to(torch.int64))
        if isinstance(value, SymFloat) and is_symbolic(value):
            return truncated(value, self._ranges)
        if isinstance(value, SymInt):
            return as_plain(value)
        return int(value, *base)

    def _float(self, value: Any = 0.0) -> Any:
        if isinstance(value, Tensor):
            return self._item(value)
        return torch.sym_float(value) if isinstance(value, (SymInt, SymFloat)) and is_symbolic(value) else float(value)

    def _item(self, tensor: Tensor) -> Any:
        flat = tensor.reshape(())
        constant = self.constants.value(flat)
        return as_number(flat) if constant is None else constant

    def _extreme(self, of_numbers: Any, of_tensor: Any, plain: Any, compare: Any, *values: Any, **options: Any) -> Any:
        if options.get("key") is not None:
            _refuse_collected(plain, values)
            return plain(*values, **options)
        items = values[0] if len(values) == 1 else values
        if isinstance(items, Tensor):
            if not is_symbolic(items.shape[0]):
                return self._fold(of_numbers, compare, list(items.unbind(0)))
            return of_tensor(items, 0)
        if holds_collected(items):
            whole = listed(list(items))
            found = of_tensor(whole.stacked, 0)
            return as_number(found) if any(whole.numbers) else found
        items = list(items)
        if not any(isinstance(item, Tensor) or is_symbolic(item) for item in items):
            return plain(items, **options)
        return self._fold(of_numbers, compare, items)

    def _fold(self, of_numbers: Any, compare: Any, items: list[Any]) -> Any:
        found = items[0]
        for item in items[1:]:
            if isinstance(found, Tensor) or isinstance(item, Tensor):
                found = self._flow.choose(compare(item, found), item, found)
            else:
                found = of_numbers(found, item)
        return found

    def _sum(self, items: Any, start: Any = 0) -> Any:
        if isinstance(items, Tensor) and is_symbolic(items.shape[0]):
            return items.sum(0) + start
        if holds_collected(items):
            whole = listed(list(items))
            found = whole.stacked.sum(0)
            return (as_number(found) if any(whole.numbers) else found) + start
        return sum(items, start)

    def _all_or_any(self, items: Any, join: Any, plain: Any, of_tensor: Any) -> Any:
        if isinstance(items, Tensor):
            return of_tensor(items)
        if holds_collected(items):
            return of_tensor(listed(list(items)).stacked)
        items = list(items)
        if not any(isinstance(item, Tensor) or is_symbolic(item) for item in items):
            return plain(items)
        return join(*(lambda item=item: item for item in items))

    def _mapped(self, function: Any, *items: Any) -> list[Any]:
        made: list[Any] = []
        called = self.callee(function)
        kept: list[Any] = []

        def target(item: Any) -> None:
            kept[:] = [item]

        def body() -> None:
            made.append(called(*kept.pop()))

        self._flow.for_(zipped(*items), target, body, None, (), None, None, ())
        return made

    @_named_as_in_pytorch
    def _stack(self, tensors: Any, dim: int = 0, **options: Any) -> Tensor:
        if isinstance(tensors, Series):
            tensors = self._mapped(lambda item: item, tensors)
        if not holds_collected(tensors):
            return torch.stack(tensors, dim, **options)
        rows: Tensor = listed(list(tensors)).stacked
        return rows.movedim(0, dim % rows.dim())

    @_named_as_in_pytorch
    def _cat(self, tensors: Any, dim: int = 0, **options: Any) -> Tensor:
        if not holds_collected(tensors):
            return torch.cat(tensors, dim, **options)
        return torch.cat([part.concatenated(dim) if isinstance(part, Collected) else part for part in tensors], dim)

    def _whole_rows(self, tensors: Any) -> Tensor:
        rows: Tensor = listed(list(tensors)).stacked
        return rows if rows.dim() == 2 else rows.flatten(0, 1)

    @_named_as_in_pytorch
    def _unbind(self, tensor: Tensor, dim: int = 0) -> Any:
        size = tensor.shape[dim]
        return unbound(tensor, dim) if is_symbolic(size) or size >= 8 else tensor.unbind(dim)

    @_named_as_in_pytorch
    def _split(self, tensor: Tensor, size: Any, dim: int = 0) -> Any:
        if holds_collected(size):
            return self._split_by(tensor, listed(list(size)), dim)
        if isinstance(size, int) and size == 1 and is_symbolic(tensor.shape[dim]):
            return split_by_one(tensor, dim)
        if isinstance(size, int) and is_symbolic(tensor.shape[dim]):
            if not self._ranges.at_most(tensor.shape[dim] % size, 0):
                raise UnrolledError(
                    "it splits a size into parts of which the last may be shorter, if it is not padded to a multiple"
                )
            return split_evenly(tensor, size, dim)
        return torch.split(tensor, size, dim)

    @staticmethod
    def _split_by(tensor: Tensor, sizes: Collected, dim: int) -> Any:
        if isinstance(sizes, Repeated) and sizes.number == 1:
            return split_by_one(tensor, dim)
        return (Ragged(tensor, sizes.stacked, dim % tensor.dim()),)

    @_named_as_in_pytorch
    def _chunk(self, tensor: Tensor, chunks: Any, dim: int = 0) -> Any:
        if is_symbolic(chunks) and str(chunks) == str(tensor.shape[dim]):
            return split_by_one(tensor, dim)
        size = tensor.shape[dim]
        if is_symbolic(size) and isinstance(chunks, int) and self._ranges.at_most(size % chunks, 0):
            return tensor.unflatten(dim, (chunks, size // chunks)).unbind(dim % tensor.dim())
        return torch.chunk(tensor, chunks, dim)

    @_named_as_in_pytorch
    def _squeeze(self, tensor: Tensor, dim: Any = None) -> Tensor:
        """`squeeze`; a size that a decision says is 1 PyTorch would not remove."""
        size = tensor.shape[dim] if isinstance(dim, int) else None
        if is_symbolic(size) and self._ranges.at_most(size, 1) and self._ranges.at_least(size, 1):
            return tensor.select(dim, 0)
        return tensor.squeeze() if dim is None else tensor.squeeze(dim)

    def _pad_sequence(self, sequences: Any, batch_first: bool = False, *args: Any, **options: Any) -> Tensor:
        if not holds_collected(sequences):
            padded: Tensor = rnn.pad_sequence(sequences, batch_first, *args, **options)
            return padded
        whole = listed(list(sequences))
        if isinstance(whole, Ragged):
            return _padded(whole, batch_first, *args, **options)
        return self._stack(sequences, 0 if batch_first else 1)

    def tolist(self, tensor: Tensor) -> Any:
        constant = self.constants.value(tensor)
        if constant is not None:
            return constant
        if tensor.dim() == 1 and is_symbolic(tensor.shape[0]):
            return [Collected(tensor.shape[0], tensor, (True,))]
        return tensor.tolist()

    def _as_tensor(self, make: Callable[..., Tensor], data: Any, *args: Any, **options: Any) -> Tensor:
        if holds_collected(data):
            rows: Tensor = listed(list(data)).stacked
            return rows.to(options.get("dtype") or rows.dtype)
        if is_symbolic(data):
            made = as_tensor(data)
            return made.to(options["dtype"]) if options.get("dtype") is not None else made
        return make(data, *args, **options)


_TENSOR_METHODS = {"unbind": "_unbind", "split": "_split", "chunk": "_chunk", "item": "_item", "squeeze": "_squeeze"}


def _keeps_items(function: Any) -> bool:
    """Whether a function puts what it is given in a container of the model's, as it is."""
    return isinstance(getattr(function, "__self__", None), (list, dict, deque))


def _refuse_collected(function: Any, values: tuple[Any, ...]) -> None:
    """A function that knows nothing of them would take the items of a list of unknown length for one."""
    if any(isinstance(value, Collected) or holds_collected(value) for value in values):
        raise UnrolledError(f"{getattr(function, '__name__', 'a function')} is given a list of unknown length")


def _padded(whole: Ragged, batch_first: bool, padding_value: float = 0.0, padding_side: str = "right") -> Tensor:
    if padding_side != "right":
        raise UnrolledError("sequences of a list of unknown length are padded on the left")
    padded = whole.padded(padding_value)
    return padded if batch_first else padded.transpose(0, 1)


def _as_lengths(lengths: Any) -> Any:
    return listed(list(lengths)).stacked if holds_collected(lengths) else lengths


def _isinstance(value: Any, kinds: Any) -> bool:
    if isinstance(value, (SymInt, SymFloat, SymBool)):
        value = {SymInt: 0, SymFloat: 0.0, SymBool: False}[type(value)]
    return isinstance(value, kinds)
