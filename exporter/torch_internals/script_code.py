"""Private parts of TorchScript's code: a module's methods, and what they call, as plain data that can be printed."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from .modules import is_scripted_here

Place = tuple[str, int]

_LINE = re.compile(r"# (.+):(\d+):\d+$")


@dataclass(frozen=True)
class Value:
    """A value of TorchScript's code; `kind` is that of its type, and `of` the name of a class or function."""

    key: int
    name: str
    kind: str
    annotation: str
    of: str


@dataclass(frozen=True)
class Argument:
    """An argument of an operator, with its type as the operator's schema has it."""

    name: str
    type: str
    keyword_only: bool
    has_default: bool
    default: Any


@dataclass(frozen=True, eq=False)
class Node:
    """An operator that is called; `name` is the attribute or method that it names, `constant` what a constant is."""

    kind: str
    overload: str
    arguments: Sequence[Argument]
    inputs: Sequence[Value]
    outputs: Sequence[Value]
    blocks: Sequence[Block]
    name: str
    constant: Any
    place: Place | None


@dataclass(frozen=True, eq=False)
class Block:
    """Nodes in order: a branch, the body of a loop or a whole function."""

    parameters: Sequence[Value]
    nodes: Sequence[Node]
    returns: Sequence[Value]


@dataclass(frozen=True, eq=False)
class Function:
    """A function or method of TorchScript, whose first parameter is then `self`; `defaults` are its last arguments'."""

    name: str
    body: Block
    defaults: Sequence[Any]
    has_self: bool


class ScriptCode:
    """The functions, methods and classes that a scripted module's code is made of."""

    def __init__(self, module: torch.jit.ScriptModule) -> None:
        """Keep the code of a module.

        Raises:
            RuntimeError: it cannot be stored, as TorchScript that calls Python cannot.
        """
        try:
            self._unit, self._module = _stored(module)
        except RuntimeError:
            # Code cannot be stored where a name in it is none for TorchScript, such as that of a file 2_layers.py.
            if not is_scripted_here(module):
                raise
            self._unit, self._module = torch.jit._state._python_cu, module._c

    @property
    def root(self) -> Any:
        """The module as it is in the code, for `kind_of` and `child_of`."""
        return self._module

    def function(self, name: str) -> Function | None:
        """A function or method by its qualified name; None where the code has none."""
        found = self._unit.find_function(name)
        return None if found is None else _function(name, found)


def _stored(module: Any) -> tuple[Any, Any]:
    """The code of a module and all that it calls, whatever made it, and the module in it."""
    stored: Any = module.save_to_buffer()
    unit, place = torch._C.CompilationUnit(), torch.device("cpu")
    read: Any = torch._C.import_ir_module_from_buffer
    return unit, read(unit, stored, place, {}, False)


def loaded_function(function: torch.jit.ScriptFunction[Any, Any]) -> torch.jit.ScriptModule:
    """A module whose forward is a scripted function.

    Raises:
        RuntimeError: it cannot be stored, as TorchScript that calls Python cannot.
    """
    _, module = _stored(function)
    wrapped: torch.jit.ScriptModule = torch.jit._recursive.wrap_cpp_module(module)
    return wrapped


def default_values(function: Any) -> Sequence[Any]:
    """The values that the last arguments of a function have if they are not given."""
    return [argument.default_value for argument in function.schema.arguments if argument.has_default_value()]


def kind_of(module: Any) -> str:
    """The qualified name of the class of a module, or of an attribute's type, within its code."""
    return str(module._type().qualified_name())


def child_of(module: Any, name: str) -> Any:
    """A module within one, both as they are in the code."""
    return module.getattr(name)


def has_hooks(module: torch.jit.ScriptModule) -> bool:
    """Whether a scripted module runs hooks before or after its forward."""
    script: Any = module._c
    return bool(script._get_forward_hooks() or script._get_forward_pre_hooks())


def _function(name: str, found: Any) -> Function:
    arguments = found.schema.arguments
    has_self = bool(arguments) and arguments[0].name == "self" and str(arguments[0].type.kind()) == "ClassType"
    return Function(name, _block(found.graph), default_values(found), has_self)


def _block(block: Any) -> Block:
    return Block(
        [_value(value) for value in block.inputs()],
        [_node(node) for node in block.nodes()],
        [_value(value) for value in block.outputs()],
    )


def _value(value: Any) -> Value:
    kind = value.type()
    named = kind.kind() in ("ClassType", "FunctionType", "InterfaceType")
    of = str(kind.qualified_name() if hasattr(kind, "qualified_name") else kind) if named else ""
    return Value(value.unique(), value.debugName(), kind.kind(), kind.annotation_str, of)


def _node(node: Any) -> Node:
    kind = node.kind()
    schema = node.schema()
    known = schema.startswith(("aten::", "prim::")) or "::" in schema.partition("(")[0]
    overload, arguments = _signature(schema) if known else ("", ())
    constant = node.output().toIValue() if kind == "prim::Constant" else None
    first_line = "" if kind == "prim::Constant" else str(node).partition("\n")[0]
    line = _LINE.search(first_line)
    return Node(
        kind,
        overload,
        arguments,
        [_value(value) for value in node.inputs()],
        [_value(value) for value in node.outputs()],
        [_block(block) for block in node.blocks()],
        node.s("name") if "name" in node.attributeNames() else "",
        constant,
        (line[1], int(line[2])) if line and int(line[2]) else None,
    )


@functools.cache
def _signature(text: str) -> tuple[str, tuple[Argument, ...]]:
    schema: Any = torch._C.parse_schema(text)
    return schema.overload_name, tuple(_arguments(schema))


def _arguments(schema: Any) -> Iterator[Argument]:
    for argument in schema.arguments:
        has_default = argument.has_default_value()
        default = argument.default_value if has_default else None
        yield Argument(argument.name, str(argument.real_type), argument.kwarg_only, has_default, default)


# Where PyTorch keeps the operators of torch.nn.functional.
nn_functions = torch._C._nn
