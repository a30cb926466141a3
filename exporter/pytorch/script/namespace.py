"""What code that was written from TorchScript may name: PyTorch, plain built-ins, and a few functions."""

from __future__ import annotations

import builtins
import math
from collections.abc import Mapping
from typing import Any, Optional

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ...errors import CaptureError
from ...torch_internals.script_code import nn_functions

# TorchScript has numbers for these.
DTYPES = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    8: torch.complex32,
    9: torch.complex64,
    10: torch.complex128,
    11: torch.bool,
    15: torch.bfloat16,
}
_NUMBERS = {dtype: number for number, dtype in DTYPES.items()}

EXCEPTIONS = (
    *("ArithmeticError", "AssertionError", "AttributeError", "Exception", "IndexError", "KeyError", "LookupError"),
    *("NotImplementedError", "OverflowError", "RuntimeError", "TypeError", "ValueError", "ZeroDivisionError"),
)
_BUILTINS = (
    # PyTorch imports parts of itself while it runs, by the built-ins of its caller.
    *("__import__",),
    *(
        "__build_class__",
        "abs",
        "all",
        "any",
        "bool",
        "dict",
        "divmod",
        "float",
        "getattr",
        "int",
        "len",
        "list",
        "max",
        "min",
        "range",
    ),
    *("round", "setattr", "sorted", "str", "sum"),
    *EXCEPTIONS,
)


def dtype_of(number: int | None) -> torch.dtype | None:
    """The dtype that TorchScript has this number for."""
    return None if number is None else DTYPES[number]


def dtype_number(dtype: torch.dtype) -> int:
    """TorchScript's number for a dtype."""
    return _NUMBERS[dtype]


def integer(tensor: Tensor) -> Any:
    """The integer in a tensor of one element, cut off at the point; symbolic while a model is captured."""
    return torch.sym_int(tensor.item())


def floating(tensor: Tensor) -> Any:
    """The float in a tensor of one element; symbolic while a model is captured."""
    return torch.sym_float(tensor.item())


def formatted(text: str, *values: Any) -> str:
    """The text with a value for each `{}`, which is all that TorchScript's `format` knows."""
    first, *others = text.split("{}", len(values))
    return first + "".join(f"{value}{other}" for value, other in zip(values, others, strict=False))


def outside_operator(namespace: str, name: str, overload: str, *given: Any) -> Any:
    """What an operator of C++ that is none of PyTorch's returns.

    Raises:
        CaptureError: a model is being captured, which needs to know what the operator computes.
    """
    if torch.compiler.is_exporting():
        raise CaptureError(
            f"The TorchScript runs {namespace}::{name}, an operator of C++ that is none of PyTorch's, and ONNX has "
            "none for it. Write what it computes in Python."
        )
    return getattr(getattr(getattr(torch.ops, namespace), name), overload)(*given)


def namespace(name: str) -> dict[str, Any]:
    """The globals of a module of such code; its built-ins are those that the code needs."""
    allowed: Mapping[str, Any] = {each: getattr(builtins, each) for each in _BUILTINS}
    return {
        "__name__": name,
        "__builtins__": dict(allowed),
        **{each.__name__: each for each in (dtype_of, dtype_number, integer, floating, formatted, outside_operator)},
        **{each.__name__: each for each in (PackedSequence, pack_padded_sequence, pad_packed_sequence, Tensor)},
        "Module": nn.Module,
        "math": math,
        "torch": torch,
        "functions": nn_functions,
        **{"Dict": dict, "List": list, "Optional": Optional, "Tuple": tuple},
    }


NAMES = frozenset({*namespace(""), *_BUILTINS})
