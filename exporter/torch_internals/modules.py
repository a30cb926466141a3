"""Private parts of what runs eagerly: modules, TorchScript's record of them, nested arguments, and dispatch."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import HigherOrderOperator, OpOverload
from torch.jit._trace import TopLevelTracedModule, TracedModule, TracerWarning
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import (
    SUPPORTED_NODES,
    register_pytree_node,
    tree_flatten,
    tree_leaves,
    tree_map,
    tree_structure,
    tree_unflatten,
)

_LOCK = threading.RLock()


@contextmanager
def exclusive() -> Iterator[None]:
    """Within the block no other thread is in such a block; blocks of one thread may be nested."""
    with _LOCK:
        yield


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within the block attribute `name` of a class or module is `value`; exclusive, and restored afterwards."""
    with exclusive():
        # Not getattr, which would turn a property or a classmethod into what it returns.
        original = vars(owner)[name]
        setattr(owner, name, value)
        try:
            yield
        finally:
            setattr(owner, name, original)


# PyTorch's own record of a copy, such as `x.to(dtype)` after decomposition.
TO_COPY = torch.ops.aten._to_copy.default

# A check that `torch.export` adds; nothing uses its result.
ASSERT_TENSOR_METADATA = torch.ops.aten._assert_tensor_metadata.default

# What batch normalization in evaluation mode is decomposed into.
BATCH_NORM_INFERENCE = torch.ops.aten._native_batch_norm_legit_no_training.default


def change_leaves(tree: Any, change: Callable[[list[Any]], list[Any]]) -> Any:
    """The same tuples, lists and dictionaries with other leaves, those that are None left as they are."""
    leaves, structure = tree_flatten(tree)
    changed = iter(change([leaf for leaf in leaves if leaf is not None]))
    return tree_unflatten([None if leaf is None else next(changed) for leaf in leaves], structure)


def operator_name(target: Any) -> str:
    """`aten::add` for any overload of it; empty for a target that is no operator."""
    return target.name().partition(".")[0] if isinstance(target, OpOverload) else ""


def mutates(target: Any) -> bool:
    """Whether a target writes to one of its arguments."""
    return isinstance(target, OpOverload) and bool(target._schema.is_mutable)


def takes_tensor(target: Any, position: int) -> bool:
    """Whether an operator, or its overload for tensors, takes a tensor as this positional argument."""
    overload = tensor_overload(target)
    if not isinstance(overload, OpOverload):
        return False
    return str(overload._schema.arguments[position].type) == "Tensor"


def tensor_overload(target: Any) -> Any:
    """`gt.Tensor` for `gt.Scalar`, where both take as many arguments; any other target unchanged."""
    if not isinstance(target, OpOverload) or target.name().partition(".")[2] != "Scalar":
        return target
    overload = getattr(target.overloadpacket, "Tensor", None)
    fits = overload is not None and len(overload._schema.arguments) == len(target._schema.arguments)
    return overload if fits else target


@contextmanager
def outside_capture() -> Iterator[None]:
    """Within the block tensors are real ones, also while a model is captured."""
    with _disable_current_modes():
        yield


__all__ = [
    "COMPILED_MODULE",
    "TRACED",
    "HigherOrderOperator",
    "TorchDispatchMode",
    "TracerWarning",
    "flatten_weights",
    "is_pytree_node",
    "is_scripted_here",
    "lists_weights",
    "register_pytree_node",
    "scripted_arguments",
    "scripted_attributes",
    "scripted_class",
    "scripted_value",
    "tree_flatten",
    "tree_leaves",
    "tree_map",
    "tree_structure",
    "tree_unflatten",
    "with_children",
    "with_record",
]

# The classes of modules that were traced; torch.jit has them, but does not export them.
TRACED = (TopLevelTracedModule, TracedModule)

# Where torch.compile keeps the module that it wraps.
COMPILED_MODULE = "_orig_mod"

# What TorchScript inserts into the name of a class that it compiles once more.
_MANGLED = re.compile(r"\.___torch_mangle_\d+")


def is_pytree_node(kind: type) -> bool:
    """Whether PyTorch looks into objects of this class, rather than taking one for a leaf."""
    return kind in SUPPORTED_NODES


def is_view(tensor: Tensor) -> bool:
    """Whether a tensor shares the memory of another, which is written to with it."""
    return tensor._is_view()


def share_memory(a: Tensor, b: Tensor) -> bool:
    """Whether two tensors are in one memory, wherever in it."""
    return a is b or a.untyped_storage()._cdata == b.untyped_storage()._cdata


def buffers_of(module: nn.Module) -> dict[str, Tensor | None]:
    """The buffers of a module itself, as it keeps them."""
    return module._buffers


def writes_to(tensor: Tensor) -> int:
    """How often a tensor was written to in place."""
    return tensor._version


def share_parts(module: nn.Module, other: nn.Module) -> None:
    """Give a module the modules, parameters and buffers of another, under the names that these have there."""
    for name in ("_modules", "_parameters", "_buffers", "_non_persistent_buffers_set"):
        vars(module)[name] = vars(other)[name]


def with_children(module: nn.Module, children: Mapping[str, nn.Module]) -> nn.Module:
    """A shallow copy of a module that has these children."""
    copied: nn.Module = type(module).__new__(type(module))
    vars(copied).update(vars(module))
    vars(copied)["_modules"] = dict(children)
    return copied


def flatten_weights(layer: nn.RNNBase) -> None:
    """Have a recurrent layer list its weights anew, after they were set one by one."""
    layer._init_flat_weights()


def lists_weights(scripted: torch.jit.ScriptModule) -> bool:
    """Whether a scripted recurrent layer holds the list of its weights, which its Python forward needs."""
    return hasattr(scripted, "_flat_weights_names")


def scripted_attributes(scripted: torch.jit.ScriptModule) -> Sequence[str]:
    """The names of the constants and attributes that TorchScript keeps of a module."""
    concrete = _concrete(scripted)
    return [*concrete.get_constants(), *concrete.get_attributes()]


def scripted_value(scripted: torch.jit.ScriptModule, name: str) -> Any:
    """The value of a constant or attribute, also of one that is called like a method of modules, such as `half`."""
    return scripted._c.getattr(name) if scripted._c.hasattr(name) else getattr(scripted, name)


def is_scripted_here(scripted: torch.jit.ScriptModule) -> bool:
    """Whether a module was scripted in this process, and not loaded from a file."""
    return _concrete(scripted).py_class is not None


def with_record(scripted: torch.jit.ScriptModule) -> torch.jit.ScriptModule:
    """A scripted module that lists its children and attributes, which one that was frozen does not."""
    if hasattr(scripted, "_concrete_type"):
        return scripted
    wrapped: torch.jit.ScriptModule = torch.jit._recursive.wrap_cpp_module(scripted._c)
    return wrapped


def _concrete(scripted: torch.jit.ScriptModule) -> Any:
    """TorchScript's record of a module; one that was frozen lacks it."""
    found: Any = getattr(scripted, "_concrete_type", None)
    return torch._C.ConcreteModuleType.from_jit_type(scripted._c._type()) if found is None else found


def scripted_class(scripted: torch.jit.ScriptModule) -> Any:
    """What a module was scripted from: in this process, or, loaded from a file, whatever has its name; else None."""
    concrete = _concrete(scripted)
    if concrete.py_class is not None or not scripted.original_name:
        return concrete.py_class
    qualified = _MANGLED.sub("", scripted._c._type().qualified_name()).removeprefix("__torch__.")
    module, _, name = qualified.rpartition(".")
    return getattr(sys.modules.get(module), name, None)


def scripted_arguments(scripted: torch.jit.ScriptModule) -> Sequence[Any] | None:
    """The arguments of a scripted forward, without self; each has a name, `kwarg_only` and maybe a default value.

    None where there is no forward: of `nn.GRU` and others TorchScript keeps one for each kind of input, by other names.
    """
    if not scripted._c._has_method("forward"):
        return None
    arguments: Sequence[Any] = scripted._c._get_method("forward").schema.arguments
    return arguments[1:]
