"""An operator on tensors as a call in Python, in the words that a person would use where there are some.

Functions of `torch` and methods of tensors that take what the operator takes are called by that name, since a capture
sees those; any other operator is `torch.ops.NAMESPACE.NAME.OVERLOAD`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from types import BuiltinFunctionType, MethodDescriptorType
from typing import Any

import torch

from ...errors import LoadError
from ...torch_internals.script_code import Argument, Node, nn_functions
from .namespace import DTYPES

_MEMORY_FORMATS = {
    0: torch.contiguous_format,
    1: torch.preserve_format,
    2: torch.channels_last,
    3: torch.channels_last_3d,
}
_MOST = str(2**63 - 1)
_WHOLE = re.compile(r"-?\d+")

_OF_TENSOR = re.compile(r"dtype_number\((\w+\.dtype)\)")

# Attributes of a tensor, and methods without arguments, that TorchScript has operators for.
_ATTRIBUTES = {
    **{name: name for name in ("device", "is_cuda", "is_mps", "is_cpu", "is_sparse", "is_quantized", "is_meta")},
    **{name: name for name in ("is_nested", "is_xpu", "is_mkldnn", "requires_grad")},
    "data": "detach()",
    "shape": "size()",
    # Of a device.
    "type": "type",
    "index": "index",
}
_DIMENSION = re.compile(r"-1|[0-5]")


def tensor_expression(node: Node, given: Sequence[str]) -> str:
    """The expression for an operator that takes tensors, or makes one.

    Raises:
        LoadError: there is no such expression.
    """
    namespace, _, name = node.kind.partition("::")
    if namespace == "prim":
        return _prim(node, name, given)
    if namespace != "aten":
        called = (repr(namespace), repr(name), repr(node.overload or "default"))
        return f"outside_operator({', '.join((*called, *given))})"
    if not _has_tensors(node):
        raise unknown(node)
    if name in _SPELLED:
        return _SPELLED[name](node, given)
    text = _call(node, _function(node, name), given)
    # Functions of PyTorch return a tuple where TorchScript has a list.
    return f"list({text})" if node.outputs and node.outputs[0].kind == "ListType" else text


def _has_tensors(node: Node) -> bool:
    """Whether a tensor goes in or comes out; all else is Python's own, and has to be known."""
    taken = any("Tensor" in argument.type for argument in node.arguments)
    return taken or any("Tensor" in value.annotation for value in (*node.inputs, *node.outputs))


def _prim(node: Node, name: str, given: Sequence[str]) -> str:
    if name in _ATTRIBUTES:
        text = f"{given[0]}.{_ATTRIBUTES[name]}"
        return f"list({text})" if name == "shape" else text
    if name == "dtype":
        return f"dtype_number({given[0]}.dtype)"
    if name == "tolist":
        return f"{given[0]}.tolist()"
    if name == "NumToTensor":
        dtype = "torch.int64" if node.inputs[0].kind == "IntType" else "torch.float64"
        return f"torch.scalar_tensor({given[0]}, dtype={dtype})"
    raise unknown(node)


def unknown(node: Node) -> LoadError:
    """The error for an operator that has no form in Python."""
    return LoadError(
        f"The TorchScript runs {node.kind}, which has no form in Python, and cannot be exported to ONNX. "
        "Give the Python module that it was made from, or TorchScript that was not optimized for inference."
    )


def _before(dim: str) -> str:
    """What stands in brackets before the index of a dimension: `:, :, ` for 2 and `..., ` for -1."""
    return "..., " if dim == "-1" else ":, " * int(dim)


def _select(node: Node, given: Sequence[str]) -> str:
    if not _DIMENSION.fullmatch(given[1]):
        return _call(node, "torch.select", given)
    return f"{given[0]}[{_before(given[1])}{given[2]}]"


def _slice(node: Node, given: Sequence[str]) -> str:
    if not _DIMENSION.fullmatch(given[1]):
        return _call(node, f"torch.ops.aten.slice.{node.overload}", given)
    start, end, step = ("" if each in ("None", _MOST) else each for each in given[2:5])
    return f"{given[0]}[{_before(given[1])}{start}:{end}{':' + step if step not in ('', '1') else ''}]"


def _to(node: Node, given: Sequence[str]) -> str:
    """`x.to(...)`, whose overloads in TorchScript list their arguments in other orders than in Python."""
    arguments = dict(zip((argument.name for argument in node.arguments), given, strict=False))
    itself = arguments.pop("self")
    if "other" in arguments:
        arguments = {"dtype": f"{arguments['other']}.dtype", "device": f"{arguments.pop('other')}.device", **arguments}
    by_name = {argument.name: argument for argument in node.arguments}
    spelled = {name: _spelled(by_name[name], text) if name in by_name else text for name, text in arguments.items()}
    # What is not dense was refused above.
    kept = [f"{name}={text}" for name, text in spelled.items() if text not in ("None", "False", "torch.strided")]
    return f"{itself}.to({', '.join(kept)})" if kept else itself


def _function(node: Node, name: str) -> str:
    """What calls an operator: `torch.cat`, `functions.linear`, `.view` of its first argument or its overload."""
    for text, owner in (("torch", torch), ("functions", nn_functions)):
        if isinstance(getattr(owner, name, None), BuiltinFunctionType):
            return f"{text}.{name}"
    itself = node.arguments[0].type if node.arguments else ""
    if itself == "Tensor" and isinstance(getattr(torch.Tensor, name, None), MethodDescriptorType):
        return f".{name}"
    return f"torch.ops.aten.{name}.{node.overload or 'default'}"


def _call(node: Node, function: str, given: Sequence[str]) -> str:
    if not node.arguments:
        raise unknown(node)
    pairs = list(zip(node.arguments, given, strict=True))
    while pairs and _is_default(*pairs[-1]):
        pairs.pop()
    texts = []
    for argument, text in pairs:
        spelled = _spelled(argument, text)
        if not argument.keyword_only:
            texts.append(spelled)
        elif not _is_default(argument, text) and not (argument.name == "pin_memory" and text == "False"):
            texts.append(f"{argument.name}={spelled}")
    if function.startswith("."):
        return f"{texts[0]}{function}({', '.join(texts[1:])})"
    return f"{function}({', '.join(texts)})"


def _is_default(argument: Argument, text: str) -> bool:
    if argument.name in ("layout", "pin_memory") and text in ("0", "None", "False"):
        return True
    default: Any = argument.default
    return argument.has_default and not isinstance(default, (list, float)) and text == repr(default)


def _spelled(argument: Argument, text: str) -> str:
    """An argument as Python has it, where TorchScript has a number for a dtype, a layout or a memory format.

    Raises:
        LoadError: it is a layout or memory format that is not known.
    """
    if text == "None":
        return text
    if "ScalarType" in argument.type or argument.name == "dtype":
        if match := _OF_TENSOR.fullmatch(text):
            return match[1]
        return str(DTYPES[int(text)]) if _WHOLE.fullmatch(text) and int(text) in DTYPES else f"dtype_of({text})"
    if "MemoryFormat" in argument.type or argument.name == "memory_format":
        if not text.isdecimal() or int(text) not in _MEMORY_FORMATS:
            raise LoadError(f"The TorchScript computes the memory format {text}. Name one in the model's code.")
        return str(_MEMORY_FORMATS[int(text)])
    if "Layout" in argument.type or argument.name == "layout":
        if text != "0":
            raise LoadError("The TorchScript makes a tensor that is not dense. Keep it dense.")
        return "torch.strided"
    return text


def _size(node: Node, given: Sequence[str]) -> str:
    return f"{given[0]}.size({given[1]})" if len(given) > 1 else f"list({given[0]}.size())"


def _as(template: str) -> Callable[[Node, Sequence[str]], str]:
    return lambda _, given: template.format(*given)


_SPELLED: Mapping[str, Callable[[Node, Sequence[str]], str]] = {
    **dict.fromkeys(("Int", "IntImplicit"), _as("integer({0})")),
    **dict.fromkeys(("Float", "FloatImplicit"), _as("floating({0})")),
    **dict.fromkeys(("item", "ScalarImplicit"), _as("{0}.item()")),
    "Bool": _as("bool({0})"),
    "len": _as("{0}.size(0)"),
    "size": _size,
    "select": _select,
    "slice": _slice,
    "to": _to,
}
