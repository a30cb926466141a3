"""A function of TorchScript that a Python model calls, as Python: `torch.export` cannot look into it otherwise."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ...errors import LoadError, first_line
from ...torch_internals.modules import outside_capture, patched
from ...torch_internals.script_code import default_values, loaded_function
from .build import python_form

_FORMS: weakref.WeakKeyDictionary[Any, Callable[..., Any]] = weakref.WeakKeyDictionary()


def python_function(function: torch.jit.ScriptFunction[Any, Any]) -> Callable[..., Any]:
    """The Python function that computes what a scripted or traced one does.

    Raises:
        LoadError: an operator of it has no form in Python.
    """
    if function not in _FORMS:
        with outside_capture():
            try:
                loaded = loaded_function(function)
            except RuntimeError as error:
                raise LoadError(
                    f"The TorchScript of {function.name} cannot be stored: {first_line(error)}. "
                    "Call the Python function."
                ) from error
            _FORMS[function] = python_form(loaded, default_values(function)).forward
    return _FORMS[function]


@contextmanager
def functions_as_python() -> Iterator[None]:
    """Within the block every call of a function of TorchScript runs its form in Python."""
    with patched(torch.jit.ScriptFunction, "__call__", _call):
        yield


def _call(function: Any, /, *args: Any, **kwargs: Any) -> Any:
    return python_function(function)(*args, **kwargs)
