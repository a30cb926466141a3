"""Private parts of capturing: what would specialize a symbolic size, and what `torch.export` reports of one."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
import torch.fx.experimental.symbolic_shapes
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch.export import Dim
from torch.export.dynamic_shapes import refine_dynamic_shapes_from_suggested_fixes
from torch.utils.hooks import RemovableHandle

from .modules import patched

# What the functions of these names in torch.nn.utils.rnn end in.
pack_padded_sequence: Callable[..., Any] = torch._VF._pack_padded_sequence
pad_packed_sequence: Callable[..., Any] = torch._VF._pad_packed_sequence
pad_sequence: Callable[..., Any] = torch._C._nn.pad_sequence

# Tell PyTorch a fact about symbolic sizes, which it then takes for granted.
check: Callable[..., None] = torch._check

# Whether a condition on symbolic sizes holds for all of them; it decides nothing.
known_true: Callable[..., bool] = torch.fx.experimental.symbolic_shapes.statically_known_true

# The log of the shape environment says, at level INFO, what it takes for true and which size became a number.
SHAPE_LOGGER = "torch.fx.experimental.symbolic_shapes"
DECIDED = re.compile(r"eval (?!\[guard suppressed\])(.+) \[guard added\]")
SPECIALIZED = re.compile(r"set_replacement \w+ = (\d+) ")


def tensor_of_sizes(data: Any, dtype: torch.dtype | None, **kwargs: Any) -> Tensor:
    """`torch.tensor` of a list with symbolic sizes, which PyTorch's function in C++ would specialize."""
    made: Tensor = torch._refs.tensor(data, dtype=dtype, **kwargs)
    return made


def patched_tolist(convert: Callable[[Tensor, Callable[[Tensor], Any]], Any]) -> AbstractContextManager[None]:
    """Within the block `tolist` of a fake tensor is `convert(tensor, original)`; exclusive, restored afterwards."""
    original: Callable[[Any], Any] = FakeTensor.tolist
    return patched(FakeTensor, "tolist", lambda tensor: convert(tensor, original))


def unwatched_buffers() -> AbstractContextManager[None]:
    """Within the block `torch.export` does not write what a module is given for a buffer back to the one it had.

    It would copy a tensor to one of another shape, or what one step of a loop computes to outside of the loop.
    """
    return patched(
        nn.modules.module, "register_module_buffer_registration_hook", lambda hook: RemovableHandle(OrderedDict())
    )


def uncached_operators() -> AbstractContextManager[None]:
    """Within the block a capture does not look up what an operator gives for sizes that it has met before.

    With symbolic sizes it seldom finds any, and makes every result twice to be able to: half of the time of a capture.
    """
    uncached: AbstractContextManager[None] = torch._dynamo.config.patch(fake_tensor_cache_enabled=False)
    return uncached


def leaving_modules() -> AbstractContextManager[None]:
    """Within the block a capture knows that a module was left, also by an exception that is caught further out."""
    original = torch.fx.Tracer.call_module

    def call_module(self: Any, *args: Any) -> Any:
        before = OrderedDict(self.module_stack)
        try:
            return original(self, *args)
        except BaseException:
            self.module_stack.clear()
            self.module_stack.update(before)
            raise

    return patched(torch.fx.Tracer, "call_module", call_module)


def capture_questions() -> tuple[tuple[Any, str], ...]:
    """Where a model's code asks whether it is being captured: the function of that name in that module.

    What `torch.jit` is asked needs no other answer: neither scripting nor tracing is what captures here.
    """
    return (
        (torch.compiler, "is_exporting"),
        (torch.compiler, "is_compiling"),
        (torch.compiler, "is_dynamo_compiling"),
        (torch._utils, "is_compiling"),
        (torch._dynamo, "is_compiling"),
        (torch._dynamo.external_utils, "is_compiling"),
    )


def user_error() -> type[Exception]:
    """What `torch.export` raises for a model. A function, since importing it takes longer than torch itself."""
    return torch._dynamo.exc.UserError


def specialized_sizes(error: Exception, symbols: Iterable[str]) -> list[str]:
    """Those of the named sizes that an error of `torch.export` says have become plain numbers."""
    message = str(error)
    return [name for name in symbols if f"Constraints violated ({name})" in message or f"  {name} = " in message]


def violates_constraints(error: Exception) -> bool:
    """Whether the model does not hold for every value of its named sizes."""
    return "Constraints violated" in str(error)


def violates_guard(error: Exception) -> bool:
    """Whether all that is violated are guards, which PyTorch adds where it has to know something of a computed size."""
    message = str(error)
    return "satisfy the generated guard" in message and "specialized it to be a constant" not in message


def taken_for_equal(error: Exception, symbols: Iterable[str]) -> tuple[str, str] | None:
    """Two of the named sizes that an error of `torch.export` says have to be one: "S = T" among its suggestions."""
    names = {*symbols}
    found = re.findall(r"^ +(\w+) = (\w+)$", str(error), re.MULTILINE)
    return next(((other, one) for one, other in found if one in names and other in names), None)


def takes_for_number(error: Exception) -> bool:
    """Whether a guard takes a computed size, and no remainder, to be 0 or 1, as it is at the example's sizes."""
    guards = re.findall(r"the generated guard (.+)\.$", str(error), re.MULTILINE)
    return any(re.search(r" == [01]$", guard) and "%" not in guard for guard in guards)


def suggested_bounds(error: Exception, dims: Mapping[str, Dim]) -> dict[str, dict[str, int]]:
    """The bounds by name that a `user_error` suggests for `dims`; none if it suggests another kind of change.

    Without a suggestion, a size that may not be 1 further on (T - 2 after a convolution) is bounded one higher. The
    graph computes such sizes all the same; verification at these sizes tells whether it is right there.
    """
    message: str = error.msg  # type: ignore[attr-defined]
    if "Suggested fixes:" not in message:
        violated = re.search(r"Constraints violated \(([\w, ]+)\)", message) if "!= 1" in message else None
        named = {name: dims[name] for name in violated[1].split(", ")} if violated else {}
        return {name: {**_bounds(dim), "min": max(dim.min, 1) + 1} for name, dim in named.items()}
    try:
        refined = refine_dynamic_shapes_from_suggested_fixes(message, dict(dims))
    except Exception:  # its parser raises many kinds for a suggestion that it does not know
        return {}
    assert isinstance(refined, dict)
    if any(type(dim) is not Dim or dim.__name__ != name for name, dim in refined.items()):
        return _violated_ranges(message)
    return {name: bounds for name, dim in refined.items() if (bounds := _bounds(dim))}


# A guard that is violated, and one that no more than bounds a size.
_VIOLATED = re.compile(r"Not all values of (\w+) = .* satisfy the generated guard (.+?)\.?$", re.MULTILINE)
_RANGE = re.compile(r"(\d+) <= (\S+) and \2 <= (\d+)")


def _violated_ranges(message: str) -> dict[str, dict[str, int]]:
    """The bounds in an error where nothing else is violated, whatever straight line PyTorch suggests in their place.

    It solves all guards together, and finds `4*_T - 3` where T is rounded up to a multiple and no remainder decides.
    """
    found = [(name, _RANGE.fullmatch(guard)) for name, guard in _VIOLATED.findall(message)]
    if "specialized" in message or not all(match for _, match in found):
        return {}
    return {name: {"min": int(match[1]), "max": int(match[3])} for name, match in found if match}


def _bounds(dim: Dim) -> dict[str, int]:
    least = {"min": dim.min} if dim.min > 0 else {}
    return least | ({"max": dim.max} if isinstance(dim.max, int) else {})
