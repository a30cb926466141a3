"""Run a model eagerly on named inputs, quietly, and leave it as it was."""

from __future__ import annotations

import copy
import io
import logging
import warnings
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import LoadError, SignatureError, first_line
from ..torch_internals.modules import exclusive, tree_map
from .bind import bind_inputs
from .contents import is_plain_object, reachable
from .control_flow import control_flow_in_python
from .remedies import remedy
from .source_lines import at, user_line

_CHATTY = ("torch.onnx", "torch.export", "torch.fx", "onnxscript", "onnx_ir")


@contextmanager
def suppress_output() -> Iterator[None]:
    """Drop what libraries and models print, warn of, or log below errors; exclusive, and restored afterwards.

    Standard output, the warning filters and the loggers are the whole process's.
    """
    with (
        exclusive(),
        _logging_errors_only(),
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _logging_errors_only() -> Iterator[None]:
    loggers = [logging.getLogger(name) for name in _CHATTY]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


# Copying this many parameters takes a few milliseconds; of a larger model only those are copied that forward is known
# to write to.
_COPIED = 10_000_000

# Where a module keeps its parts, which are not its own attributes.
_OF_MODULES = ("_parameters", "_buffers", "_modules")
_MUTABLE = (list, dict, set, deque)


def writable_parameters(model: nn.Module) -> list[nn.Parameter]:
    """The parameters that forward may write to: of a small model all, else those that `max_norm` makes smaller."""
    parameters = [each for each in model.parameters() if each.layout == torch.strided and not each.is_meta]
    if sum(each.numel() for each in parameters) <= _COPIED:
        return parameters
    bounded = [module for module in model.modules() if getattr(module, "max_norm", None) is not None]
    return list({id(each): each for module in bounded for each in module.parameters(recurse=False)}.values())


@contextmanager
def preserve_module_state(model: nn.Module) -> Iterator[None]:
    """Undo what is written to the model within the block."""
    modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    attributes = [(module, dict(vars(module))) for module in modules]
    seen: dict[int, Any] = {}
    own = [value for _, values in attributes for name, value in values.items() if name not in _OF_MODULES]
    kept = [each for value in own for each in reachable(value, seen)]
    # Of a module's parts, the dictionaries themselves.
    parts = [value for _, values in attributes for value in values.values() if isinstance(value, _MUTABLE)]
    containers = {id(each): (each, copy.copy(each)) for each in (*parts, *kept) if isinstance(each, _MUTABLE)}
    objects = [(each, dict(vars(each))) for each in kept if is_plain_object(each)]
    tensors = [each for each in kept if type(each) is Tensor and each.layout == torch.strided]
    arrays = [(each, each.copy()) for each in kept if isinstance(each, np.ndarray)]
    contents = [(tensor, tensor.detach().clone()) for tensor in (*model.buffers(), *tensors)]
    weights = [(parameter, parameter.detach().clone()) for parameter in writable_parameters(model)]
    try:
        yield
    finally:
        for module, values in attributes:
            vars(module).clear()
            vars(module).update(values)
        for value, inner in objects:
            vars(value).clear()
            vars(value).update(inner)
        for container, before in containers.values():
            _refill(container, before)
        for array, numbers in arrays:
            if array.flags.writeable:
                array[...] = numbers
        with torch.no_grad():
            for tensor, content in contents:
                if not tensor.is_inference():
                    tensor.copy_(content)
            for parameter, content in weights:
                if not torch.equal(parameter, content):
                    parameter.copy_(content)


def _refill(container: Any, before: Any) -> None:
    container.clear()
    if isinstance(container, (list, deque)):
        container.extend(before)
    else:
        container.update(before)


Array = NDArray[np.generic]


def check_runs(model: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
    """The model's output for one example.

    Raises:
        LoadError: the model's forward raises.
        SignatureError: the inputs do not fit forward.
    """
    try:
        return run_eager(model, tensors)
    except SignatureError:
        raise
    except Exception as error:  # whatever the model's forward raises
        given = ", ".join(f"{name} {list(tensor.shape)}" for name, tensor in tensors.items())
        raise LoadError(
            f"The model's forward raised {type(error).__name__}{at(user_line(error))} for {given}: "
            f"{first_line(error).rstrip('.')}. {remedy(error, model, tensors)}"
        ) from error


def as_tensors(inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, Tensor]:
    """Inputs as PyTorch takes them; they share the arrays' memory, and whoever runs a model gives it copies."""
    return {name: torch.from_numpy(array) for name, array in inputs.items()}


def run_eager(model: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
    """The model's output for inputs by name, without gradients; the inputs are left as they are."""
    with preserve_module_state(model):
        return run_on(model, tensors)


def run_on(model: nn.Module, tensors: Mapping[str, Tensor]) -> Any:
    """The same, and what the model's forward writes to the model stays written, for the next call to find."""
    args, kwargs = bind_inputs(model, tensors).arguments({name: tensor.clone() for name, tensor in tensors.items()})
    with suppress_output(), control_flow_in_python(), torch.no_grad():
        # A buffer that the model returns is what the next call, or undoing this one, makes of it.
        return tree_map(lambda leaf: leaf.clone() if isinstance(leaf, Tensor) else leaf, model(*args, **kwargs))
