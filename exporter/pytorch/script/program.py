"""All that a scripted module's forward comes to, as the text of one Python module: its classes and functions."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from ...errors import LoadError
from ...torch_internals.script_code import Function, Node, Place, ScriptCode, Value
from .inlining import nodes_of
from .names import Names, attribute, demangled
from .namespace import NAMES
from .statements import Line, Writer

# Tensors up to this many elements are compared, larger ones are known by where they lie.
_SMALL = 4096
_LIBRARY = "__torch__.torch.nn.utils.rnn."
_LIBRARY_FUNCTIONS = ("pack_padded_sequence", "pad_packed_sequence")


@dataclass
class ScriptProgram:
    """The functions of TorchScript that a module runs, and the names that they have in Python.

    `modules` has the class of each module in the model, and whether it is one of PyTorch's that is left as it is.
    """

    code: ScriptCode
    root: str
    modules: Mapping[str, bool]
    # Of the last arguments of the root's forward, where its code has none.
    defaults: Sequence[Any] = ()
    functions: dict[str, Function] = field(default_factory=dict)
    called: dict[str, str] = field(default_factory=dict)
    constants: dict[str, list[Tensor]] = field(default_factory=dict)
    names: Names = field(default_factory=lambda: Names(set(NAMES)))
    # Attributes that a method sets, whatever it belongs to.
    changed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Find what the root's forward calls, and what that calls.

        Raises:
            LoadError: something of it is not there.
        """
        waiting = deque([f"{self.root}.forward"])
        while waiting:
            name = waiting.popleft()
            if name in self.functions:
                continue
            function = self.code.function(name)
            if function is None:
                raise LoadError(f"The TorchScript calls {demangled(name)}, which it has no code for. Script it anew.")
            if self.defaults and name == f"{self.root}.forward":
                function = replace(function, defaults=self.defaults)
            self.functions[name] = function
            for node in nodes_of(function.body):
                waiting.extend(self._calls(node))
                if node.kind == "prim::SetAttr":
                    self.changed.add(node.name)
        for name, function in self.functions.items():
            owner = name.rpartition(".")[0] if function.has_self else name
            if owner not in self.called:
                self.called[owner] = self.names.fresh(demangled(owner).rpartition(".")[2])

    def _calls(self, node: Node) -> Iterator[str]:
        if node.kind == "prim::CallFunction" and not _is_library(node.inputs[0].of):
            yield node.inputs[0].of
        if node.kind != "prim::CallMethod" or "autograd.grad_mode" in node.inputs[0].of:
            return
        owner = node.inputs[0]
        owners = [owner.of] if owner.kind == "ClassType" else list(self.modules)
        for each in owners:
            known = owner.kind == "ClassType" or self.code.function(f"{each}.{node.name}") is not None
            if known and not self.modules.get(each, False):
                yield f"{each}.{node.name}"

    def function(self, function: Value) -> str:
        return demangled(function.of).rpartition(".")[2] if _is_library(function.of) else self.called[function.of]

    def method(self, spelled: str, owner: Value, name: str) -> str:
        if self.modules.get(owner.of, False) and name.startswith("forward"):
            return spelled
        is_module = owner.of in self.modules or owner.kind == "InterfaceType"
        return spelled if name == "forward" and is_module and spelled != "self" else f"{spelled}.{_method(name)}"

    def new(self, kind: str) -> str:
        return self.called[kind]

    def is_fixed(self, name: str) -> bool:
        return name not in self.changed

    def constant(self, function: Function, tensor: Tensor) -> str:
        """The buffer that holds a constant.

        Raises:
            LoadError: the function is no module's, which could hold it.
        """
        owner = function.name.rpartition(".")[0]
        if not function.has_self or owner not in self.modules:
            raise LoadError(
                f"{demangled(function.name)} of the TorchScript holds a constant tensor, and belongs to no module. "
                "Make it a method of a module, or keep the tensor as a buffer."
            )
        held = self.constants.setdefault(owner, [])
        index = next((index for index, each in enumerate(held) if _is_same(each, tensor)), len(held))
        if index == len(held):
            held.append(tensor)
        return f"self.{constant_name(index)}"

    def text(self) -> tuple[str, dict[int, Place]]:
        """The Python module, and for each of its lines where that stands in the user's own source, if known."""
        lines: list[Line] = []
        owners: dict[str, list[Function]] = {}
        for name, function in self.functions.items():
            owners.setdefault(name.rpartition(".")[0] if function.has_self else name, []).append(function)
        for owner, functions in owners.items():
            if functions[0].has_self:
                base = "(Module)" if owner in self.modules else ""
                lines.append(Line(f"class {self.called[owner]}{base}:", 0, None))
            for function in functions:
                name = _method(function.name.rpartition(".")[2]) if function.has_self else self.called[owner]
                written = Writer(function, self).write(name)
                lines += [Line(each.text, each.depth + function.has_self, each.place) for each in written]
                lines.append(Line("", 0, None))
        places: dict[int, Place] = {}
        last: Place | None = None
        for number, each in enumerate(lines, 1):
            last = each.place or (last if each.depth > 1 else None)
            if last is not None:
                places[number] = last
        return "\n".join(f"{'    ' * each.depth}{each.text}" for each in lines) + "\n", places


def constant_name(index: int) -> str:
    """The name of the buffer that holds a constant tensor."""
    return f"constant_{index}"


def _method(name: str) -> str:
    if name in ("forward", "__init__"):
        return name
    # In a class Python has other names for those that begin with two underscores.
    return f"method{name}" if name.startswith("__") else attribute(name)


def _is_library(function: str) -> bool:
    return function.startswith(_LIBRARY) and function.rpartition(".")[2] in _LIBRARY_FUNCTIONS


def _is_same(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one, other) if one.numel() <= _SMALL else one.data_ptr() == other.data_ptr()
