"""Find the whole numbers that a model's code names: sizes at which it may take another path."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterator, Mapping
from functools import partial
from types import CodeType, FrameType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..torch_internals.random_operators import graph_nodes
from .computed_numbers import computed_values
from .run import run_eager
from .source_lines import is_users

# How deep lists and dictionaries are read, and how much of each.
_DEEP = 5
_MANY = 64
_LONGEST_TEXT = 6


def numbers_of(model: nn.Module, tensors: Mapping[str, Tensor]) -> list[int]:
    """The whole numbers from 2 on that a run of the model meets, in increasing order, without their signs.

    These are the constants and plain variables of every function of the user's that runs, what it reads of globals,
    closures and objects, and of the model itself the attributes, the lengths of its lists, the sizes of its tables and
    buffers, and the constants of its TorchScript; and what sums, products and powers of these the code writes. A number
    that the code computes otherwise, of sizes or by a call, is not found.
    """
    reading = _Reading()
    before: Any = sys.getprofile()
    sys.setprofile(reading.profile)
    try:
        run_eager(model, tensors)
    except Exception:  # a model that raises for these inputs is refused elsewhere; what ran until then is read
        pass
    finally:
        sys.setprofile(None)
        # cProfile's is no function, and is put back by itself.
        (before.enable if hasattr(before, "enable") else partial(sys.setprofile, before))()
    for module in model.modules():
        reading.module(module)
    return sorted(number for number in reading.found if number > 1)


class _Reading:
    """Collects whole numbers; `found` holds their absolute values."""

    def __init__(self) -> None:
        self.found: set[int] = set()
        self._codes: set[CodeType] = set()
        self._computed: set[CodeType] = set()

    def profile(self, frame: FrameType, event: str, _: Any) -> None:
        """What Python calls for every function that begins and ends."""
        if event in ("call", "return") and _is_users_code(frame.f_code):
            if event == "return":
                self._variables(frame)
                self._computations(frame)
            elif frame.f_code not in self._codes:
                self._code(frame.f_code)
                self._names(frame)

    def module(self, module: nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            self._script(module)
        for buffer in module.buffers(recurse=False):
            self.value(buffer)
        for name, value in vars(module).items() if _is_own(module) else ():
            if name not in ("_modules", "_buffers", "_parameters"):
                self.value(value)
        for parameter in module.parameters(recurse=False) if _is_own(module) else ():
            self.value(parameter)
        self.value(getattr(module, "num_embeddings", None))
        self.value(len(list(module.children())))

    def value(self, value: Any, deep: int = _DEEP) -> None:
        """Add a number, and what is in a list, dictionary, tensor's shape or plain object."""
        if isinstance(value, (bool, np.bool_)) or deep < 0:
            return
        if isinstance(value, (int, np.integer)) or (isinstance(value, float) and value.is_integer()):
            self.found.add(abs(int(value)))
        elif isinstance(value, (str, bytes)) and len(value) <= _LONGEST_TEXT and value.isdigit():
            self.found.add(int(value))
        elif isinstance(value, (Tensor, np.ndarray)):
            self._array(value)
        else:
            self._container(value, deep)

    def _array(self, value: Tensor | np.ndarray[Any, Any]) -> None:
        self.found.update(value.shape)
        if not isinstance(value, nn.Parameter) and value.ndim < 2 and value.shape != (0,) and value.shape < (_MANY,):
            for number in np.ravel(value.detach().cpu().float() if isinstance(value, Tensor) else value).tolist():
                self.value(number, 0)

    def _container(self, value: Any, deep: int) -> None:
        if isinstance(value, (list, tuple, set, frozenset, deque, dict, range)):
            self.found.add(len(value))
            self.value(getattr(value, "maxlen", None))
        items: list[Any] = []
        if isinstance(value, (list, tuple, set, frozenset, deque)):
            items = list(value)
        elif isinstance(value, dict):
            items = [*value.keys(), *value.values()]
        elif isinstance(value, (slice, range)):
            items = [value.start, value.stop, value.step]
        elif _is_plain_object(value):
            items = list(vars(value).values())
        for item in items[:_MANY]:
            self.value(item, deep - 1)

    def _code(self, code: CodeType) -> None:
        self._codes.add(code)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):
                self._code(constant)
            else:
                self.value(constant)

    def _variables(self, frame: FrameType) -> None:
        for name, value in frame.f_locals.items():
            if not name.startswith(".") and (isinstance(value, (int, float, str)) or name in frame.f_code.co_freevars):
                self.value(value)

    def _computations(self, frame: FrameType) -> None:
        if frame.f_code not in self._computed:
            self._computed.add(frame.f_code)
            for value in computed_values(frame):
                if isinstance(value, (int, float, np.integer, list, tuple, deque)):
                    self.value(value)

    def _names(self, frame: FrameType) -> None:
        """What the code names: globals, arguments, and the attributes of these."""
        named, local = frame.f_code.co_names, frame.f_locals
        bases = [*local.values(), *(frame.f_globals[name] for name in named if name in frame.f_globals)]
        for value in bases:
            if not isinstance(value, (Tensor, nn.Module)):
                self.value(value)
            for name in named if _has_attributes(value) else ():
                for holder in _holders(value):
                    self.value(holder.get(name))

    def _script(self, module: torch.jit.ScriptModule) -> None:
        methods = [module.inlined_graph] if hasattr(module, "forward") else []
        for node in (node for graph in methods for node in graph_nodes(graph)):
            if node.kind() == "prim::Constant":
                self.value(node.output().toIValue())


def _is_users_code(code: CodeType) -> bool:
    """Whether code is the user's, that of a notebook or of `exec` included, which has no file."""
    if code.co_filename.startswith("<"):
        return code.co_name != "<module>" and not code.co_filename.startswith("<frozen")
    return is_users(code.co_filename)


def _is_own(module: nn.Module) -> bool:
    """Whether a module is of a class of the user's; PyTorch's layers have widths, which are no sizes."""
    return not type(module).__module__.startswith("torch.")


def _is_plain_object(value: Any) -> bool:
    """Whether a value holds others by name, such as a configuration."""
    library = type(value).__module__.partition(".")[0] in ("builtins", "numpy", "torch")
    return hasattr(value, "__dict__") and not library and not isinstance(value, nn.Module)


def _has_attributes(value: Any) -> bool:
    return isinstance(value, (nn.Module, type, ModuleType)) or _is_plain_object(value)


def _holders(value: Any) -> Iterator[Mapping[str, Any]]:
    """Where the attributes of an object are: in itself and in its classes."""
    if hasattr(value, "__dict__"):
        yield vars(value)
    for kind in type(value).__mro__ if not isinstance(value, ModuleType) else ():
        if kind not in (object, nn.Module):
            yield vars(kind)
