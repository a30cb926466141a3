"""A node of TorchScript as a Python expression of the values that it takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from ...torch_internals.script_code import Function, Node, Value
from .aliases import Aliases
from .inlining import Inlining
from .names import access
from .numbers import numbers_in
from .operators import tensor_expression, unknown
from .plain import is_plain, plain_expression
from .text import literal, negated, without_bool

_SIGNS = {"aten::add": "+", "aten::sub": "-", "aten::mul": "*", "aten::floor_divide": "//"}


class Program(Protocol):
    """What a function calls and holds, by its name in Python."""

    def function(self, function: Value) -> str:
        """What a function is called."""

    def method(self, spelled: str, owner: Value, name: str) -> str:
        """The expression for a method of an object that is spelled so."""

    def new(self, kind: str) -> str:
        """What a class is called."""

    def constant(self, function: Function, tensor: torch.Tensor) -> str:
        """The expression for a constant tensor."""

    def is_fixed(self, name: str) -> bool:
        """Whether no method sets an attribute of this name."""


@dataclass
class Expressions:
    """The expression that stands for each value of a function, as `text`, by its key."""

    function: Function
    program: Program
    text: dict[int, str] = field(default_factory=dict)
    aliases: Aliases = field(default_factory=Aliases)

    def __post_init__(self) -> None:
        self.aliases.read(self.function.body)
        self.inlining = Inlining(self.function.body, self.aliases)
        self._numbers = numbers_in(self.inlining.nodes)

    def value(self, value: Value) -> str:
        """The expression for a value; a number that TorchScript has as a tensor becomes one here."""
        text = self._plain(value)
        return f"torch.scalar_tensor({text}, dtype=torch.int64)" if value.key in self._numbers else text

    def values(self, values: Sequence[Value]) -> list[str]:
        return [self.value(value) for value in values]

    def condition(self, value: Value) -> str:
        """The expression for a value whose truth alone is asked for."""
        return without_bool(self.value(value))

    def constant_of(self, value: Value) -> Any:
        """The constant that a value is; None for any other."""
        node = self.inlining.nodes.get(value.key)
        return node.constant if node is not None and node.kind == "prim::Constant" else None

    def of(self, node: Node) -> str:
        """The expression for what a node returns.

        Raises:
            LoadError: there is no such expression.
        """
        if node.outputs and node.outputs[0].key in self._numbers:
            return self._number(node)
        if node.kind in _WRITTEN:
            return _WRITTEN[node.kind](self, node)
        if node.kind == "aten::Int" and node.inputs[0].key in self._numbers:
            return self._plain(node.inputs[0])
        given = self.values(node.inputs)
        return plain_expression(node, given) if is_plain(node) else tensor_expression(node, given)

    def _plain(self, value: Value) -> str:
        key = self.aliases.of(value)
        if key not in self.text:
            node = self.inlining.nodes[key]
            if node.kind != "prim::Constant":
                raise unknown(node)
            self.text[key] = self._constant(node.constant)
        return self.text[key]

    def _constant(self, constant: Any) -> str:
        if isinstance(constant, torch.Tensor):
            return self.program.constant(self.function, constant)
        if isinstance(constant, list):
            return f"[{', '.join(map(self._constant, constant))}]"
        return literal(constant)

    def _number(self, node: Node) -> str:
        """A number that TorchScript has as a tensor of one element, computed as a number."""
        given = [self._operand(each) for each in node.inputs[:2]]
        return given[0] if node.kind == "prim::NumToTensor" else f"{given[0]} {_SIGNS[node.kind]} {given[1]}"

    def _operand(self, value: Value) -> str:
        constant = self.constant_of(value)
        return literal(int(constant)) if isinstance(constant, torch.Tensor) else self._plain(value)


def _call_function(write: Expressions, node: Node) -> str:
    return f"{write.program.function(node.inputs[0])}({', '.join(write.values(node.inputs[1:]))})"


def _call_method(write: Expressions, node: Node) -> str:
    owner, *given = write.values(node.inputs)
    return f"{write.program.method(owner, node.inputs[0], node.name)}({', '.join(given)})"


def _attribute(write: Expressions, node: Node) -> str:
    return access(write.value(node.inputs[0]), node.name)


def _not(write: Expressions, node: Node) -> str:
    return negated(write.condition(node.inputs[0]))


def _first(write: Expressions, node: Node) -> str:
    return write.value(node.inputs[0])


def _item(write: Expressions, node: Node) -> str:
    return f"{write.value(node.inputs[0])}[{write.value(node.inputs[1])}]"


def _list(write: Expressions, node: Node) -> str:
    return f"[{', '.join(write.values(node.inputs))}]"


def _tuple(write: Expressions, node: Node) -> str:
    given = write.values(node.inputs)
    if node.outputs[0].annotation.endswith("torch.nn.utils.rnn.PackedSequence"):
        return f"PackedSequence({', '.join(given)})"
    return f"({', '.join(given)}{',' * (len(given) == 1)})"


def _dict(write: Expressions, node: Node) -> str:
    given = write.values(node.inputs)
    return f"{{{', '.join(f'{key}: {value}' for key, value in zip(given[::2], given[1::2], strict=True))}}}"


_WRITTEN: Mapping[str, Callable[[Expressions, Node], str]] = {
    "prim::CallFunction": _call_function,
    "prim::CallMethod": _call_method,
    "prim::GetAttr": _attribute,
    "prim::TupleConstruct": _tuple,
    "prim::ListConstruct": _list,
    "prim::DictConstruct": _dict,
    "prim::TupleUnpack": _first,
    "prim::ListUnpack": _first,
    "prim::TupleIndex": _item,
    "prim::Uninitialized": lambda _, __: "None",
    "aten::__not__": _not,
    # Models are run without gradients, which change no value.
    "aten::is_grad_enabled": lambda _, __: "False",
    "aten::set_grad_enabled": lambda _, __: "None",
}
