"""What TorchScript computes on plain numbers, text and lists, as Python's own expressions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ...torch_internals.script_code import Node

_CONTAINERS = ("ListType", "DictType", "StringType")

# Of numbers, of text and of lists alike.
_BINARY = {
    "add": "+",
    "sub": "-",
    "mul": "*",
    "floordiv": "//",
    "div": "/",
    "remainder": "%",
    "pow": "**",
    "eq": "==",
    "ne": "!=",
    "lt": "<",
    "le": "<=",
    "gt": ">",
    "ge": ">=",
    "__and__": "&",
    "__or__": "|",
    "__xor__": "^",
    "__lshift__": "<<",
    "__rshift__": ">>",
    "__is__": "is",
    "__isnot__": "is not",
}
_TEMPLATES = {
    "neg": "-{0}",
    "__not__": "not {0}",
    "len": "len({0})",
    "str": "str({0})",
    "list": "list({0})",
    "dict": "dict({0})",
    "Int": "torch.sym_int({0})",
    "Float": "torch.sym_float({0})",
    "Bool": "bool({0})",
    "floor": "math.floor({0})",
    "ceil": "math.ceil({0})",
    "sqrt": "math.sqrt({0})",
    "log": "math.log({0})",
    "exp": "math.exp({0})",
    "abs": "abs({0})",
    "keys": "list({0}.keys())",
    "values": "list({0}.values())",
    "items": "list({0}.items())",
    "sum": "sum({0})",
    "sorted": "sorted({0})",
    "any": "any({0})",
    "all": "all({0})",
    "divmod": "divmod({0}, {1})",
    "round": "float(round({0}))",
    "__contains__": "{1} in {0}",
    "__getitem__": "{0}[{1}]",
}
# Methods that leave a list or dictionary as it is.
_READING = (
    *("count", "index", "get", "copy", "join", "split", "strip", "lstrip", "rstrip", "lower", "upper", "title"),
    *("startswith", "endswith", "find", "rfind", "replace", "isdigit", "isalpha", "isnumeric", "splitlines"),
)
# Methods that change it: TorchScript returns the same list again from some of them, Python does not.
_CHANGING = ("append", "extend", "insert", "remove", "reverse", "clear", "update")
_TAKING = ("pop", "popitem", "setdefault")


def is_plain(node: Node) -> bool:
    """Whether a node computes on plain values alone, or on a list, whatever is in it."""
    if not node.inputs:
        return False
    if node.inputs[0].kind in _CONTAINERS:
        return _base(node) not in ("stack", "cat") and _is_known(_base(node))
    kinds = {value.kind for value in node.inputs}
    compared = _base(node) in ("__is__", "__isnot__")
    return (compared or not kinds & {"TensorType"}) and _is_known(_base(node))


def changes_list(node: Node) -> bool:
    """Whether a node changes the list or dictionary that it is given first, and returns nothing else."""
    if not node.inputs or node.inputs[0].kind not in ("ListType", "DictType"):
        return False
    return _base(node) in (*_CHANGING, "add_", "_set_item", "Delete", "sort")


def takes_from_list(node: Node) -> bool:
    """Whether a node changes a list or dictionary, and returns something else."""
    return bool(node.inputs) and node.inputs[0].kind in ("ListType", "DictType") and _base(node) in _TAKING


def reads_list(node: Node) -> bool:
    """Whether what a node returns depends on what has been done to a list or dictionary before."""
    return any(value.kind in ("ListType", "DictType") for value in node.inputs)


def plain_statement(node: Node, given: Sequence[str]) -> str:
    """The statement for a node that `changes_list`."""
    name, first = _base(node), given[0]
    if name == "add_":
        return f"{first} += {given[1]}"
    if name == "_set_item":
        return f"{first}[{given[1]}] = {given[2]}"
    if name == "Delete":
        return f"del {first}[{given[1]}]"
    if name == "sort":
        return f"{first}.sort(reverse={given[1] if len(given) > 1 else False})"
    return f"{first}.{name}({', '.join(given[1:])})"


def plain_expression(node: Node, given: Sequence[str]) -> str:
    """The expression for a node that `is_plain`."""
    name = _base(node)
    text = _expression(node, name, given)
    # The power of two integers is a float in TorchScript.
    floats = name == "pow" and node.outputs[0].kind == "FloatType"
    return f"torch.sym_float({text})" if floats else text


def _expression(node: Node, name: str, given: Sequence[str]) -> str:
    if name in _BINARY and len(given) == 2:
        left, right = (f"({each})" if each.startswith("-") else each for each in given)
        return f"{left} {_BINARY[name]} {right}"
    if name in _SPELLED:
        return _SPELLED[name](given)
    if name in (*_READING, *_TAKING):
        return f"{given[0]}.{name}({', '.join(given[1:])})"
    return _TEMPLATES[name].format(*given)


def _slice(given: Sequence[str]) -> str:
    begin, end, step = ("" if each == "None" else each for each in given[1:4])
    return f"{given[0]}[{begin}:{end}{':' + step if step not in ('', '1') else ''}]"


def _element_of_range(given: Sequence[str]) -> str:
    step, start, stride = given
    return f"{start} + {step}{'' if stride == '1' else f' * {stride}'}"


_SPELLED: Mapping[str, Callable[[Sequence[str]], str]] = {
    "format": lambda given: f"formatted({', '.join(given)})",
    "slice": _slice,
    "__derive_index": _element_of_range,
    "__range_length": lambda given: f"len(range({', '.join(given)}))",
    "min": lambda given: f"min({', '.join(given)})",
    "max": lambda given: f"max({', '.join(given)})",
}


def _is_known(name: str) -> bool:
    return name in _BINARY or name in _TEMPLATES or name in _SPELLED or name in (*_READING, *_TAKING)


def _base(node: Node) -> str:
    return node.kind.rpartition("::")[2]
