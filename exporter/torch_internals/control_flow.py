"""Private parts of PyTorch's control flow operators: their classes, what compiles them, and what traces a body."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from importlib import import_module
from inspect import getclosurevars
from typing import Any

import torch
from torch import SymInt
from torch._higher_order_ops import utils
from torch._higher_order_ops.associative_scan import AssociativeScanOp, associative_scan_op, generic_associative_scan
from torch._higher_order_ops.cond import CondOp, cond_op
from torch._higher_order_ops.map import MapImpl, map_impl
from torch._higher_order_ops.scan import ScanOp, scan_op
from torch._higher_order_ops.while_loop import WhileLoopOp, while_loop_op
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.fx.experimental.proxy_tensor import disable_proxy_modes_tracing, get_proxy_mode, has_proxy_slot

from .collecting_loop import COLLECTING_LOOP, CollectingLoop
from .modules import patched

__all__ = [
    "ASSOCIATIVE_SCAN",
    "COND",
    "MAP",
    "SCAN",
    "WHILE_LOOP",
    "calling_operators",
    "generic_associative_scan",
    "is_real",
    "is_recorded",
    "patched_generic_scan",
    "recorded_by",
    "replaced_operators",
    "symbols_of",
    "taking_constants",
    "unbatched",
    "unrecorded",
]

SCAN: Any = scan_op
WHILE_LOOP: Any = while_loop_op
COND: Any = cond_op
MAP: Any = map_impl
ASSOCIATIVE_SCAN: Any = associative_scan_op

# The package has a function of this name too.
_associative_scan = import_module("torch._higher_order_ops.associative_scan")

_CLASSES: Mapping[Any, type] = {
    COLLECTING_LOOP: CollectingLoop,
    SCAN: ScanOp,
    WHILE_LOOP: WhileLoopOp,
    COND: CondOp,
    MAP: MapImpl,
    ASSOCIATIVE_SCAN: AssociativeScanOp,
}


@contextmanager
def calling_operators() -> Iterator[None]:
    """Within the block `torch.cond` and its like call their operator; PyTorch compiles the call. Exclusive, restored.

    What is compiled for each call is slow, sees no mode, and refuses a recurrent layer in a body.
    """

    with patched(utils, "setup_compilation_env", _compiling_nothing):
        yield


@contextmanager
def _compiling_nothing() -> Iterator[str]:
    # PyTorch 2.11 to 2.15 compile the call within this block; 2.11 has no one function that does so.
    with patched(torch, "compile", _uncompiled):
        yield "eager"


def _uncompiled(function: Callable[..., Any] | None = None, **_options: Any) -> Callable[..., Any]:
    """`torch.compile`, also as a decorator with options."""
    return _uncompiled if function is None else function


@contextmanager
def replaced_operators(by: Mapping[Any, Callable[..., Any]]) -> Iterator[None]:
    """The same, and these operators are the functions given for them, which no mode of PyTorch notices."""
    with ExitStack() as stack:
        stack.enter_context(calling_operators())
        for operator, function in by.items():
            stack.enter_context(patched(_CLASSES[operator], "__call__", _method(function)))
        yield


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda _self, *args, **kwargs: function(*args, **kwargs)


def patched_generic_scan(by: Callable[..., Any]) -> AbstractContextManager[None]:
    """Within the block `associative_scan` of the generic mode is this function, which is given a batched operator."""
    return patched(_associative_scan, "generic_associative_scan", by)


def unbatched(batched: Any) -> Callable[..., Any]:
    """The function that `torch.vmap` was called with."""
    function: Callable[..., Any] = getclosurevars(batched).nonlocals["func"]
    return function


@contextmanager
def unrecorded() -> Iterator[None]:
    """Within the block a capture computes with its tensors and writes nothing down."""
    mode = torch._guards.detect_fake_mode()
    environment = None if mode is None else mode.shape_env
    ignoring = nullcontext() if environment is None else environment.ignore_fresh_unbacked_symbols()
    with disable_proxy_modes_tracing(), ignoring:
        yield


def symbols_of(number: SymInt) -> frozenset[Any]:
    """The symbols that a symbolic number is computed from."""
    return frozenset(number.node.expr.free_symbols)


def recorded_by() -> Any:
    """What writes down the tensors of the capture, or of the body, that is being traced; None if nothing does."""
    mode = get_proxy_mode()
    return None if mode is None else mode.tracer


def is_recorded(tensor: torch.Tensor, recorder: Any) -> bool:
    """Whether this recorder knows where a tensor comes from."""
    return has_proxy_slot(tensor, recorder)


def is_real(tensor: torch.Tensor) -> bool:
    """Whether a tensor has values: one that a capture computes with has none, nor has one that `torch.vmap` makes."""
    wrapped = torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    return not isinstance(tensor, (FakeTensor, FunctionalTensor)) and not wrapped


@contextmanager
def taking_constants() -> Iterator[None]:
    """Within the block a `scan` takes a tensor with values as an operand, whose memory PyTorch would look at."""
    with patched(import_module("torch._dynamo.utils"), "clone_input", _without_values):
        yield


def _without_values(tensor: torch.Tensor) -> torch.Tensor:
    mode = torch._guards.detect_fake_mode()
    return tensor if mode is None or isinstance(tensor, FakeTensor) else mode.from_tensor(tensor)
