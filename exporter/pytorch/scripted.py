"""Rebuild a scripted module as the Python class that it was made from, with all that its forward needs.

`torch.export` cannot look into TorchScript, where sizes are plain numbers. A trace has no class and is refused.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import LoadError
from ..torch_internals.modules import (
    TRACED,
    flatten_weights,
    lists_weights,
    scripted_attributes,
    scripted_class,
    with_children,
)


def scripted_to_eager(model: nn.Module, name: str = "") -> nn.Module:
    """The model with every scripted module in it as the Python class it was made from; parameters are shared.

    A model without any is returned as it is; no other is changed.

    Raises:
        LoadError: a module is a trace, or its class is not imported.
    """
    if isinstance(model, torch.jit.ScriptModule):
        return _rebuilt(model, name)
    if not any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return model
    return with_children(model, _children(model, name))


def _children(model: nn.Module, name: str) -> dict[str, nn.Module]:
    return {key: scripted_to_eager(child, f"{name}.{key}".lstrip(".")) for key, child in model.named_children()}


def _rebuilt(scripted: torch.jit.ScriptModule, name: str) -> nn.Module:
    kind = _class(scripted)
    if kind is None or _is_traced(scripted, kind):
        called = f"The model's part '{name}'" if name else "The model"
        raise LoadError(
            f"{called} is TorchScript that was traced, or whose class is not imported, which cannot be exported to "
            "ONNX. Give the Python module that it was made from."
        )
    built: nn.Module = kind.__new__(kind)
    nn.Module.__init__(built)
    for key, parameter in scripted.named_parameters(recurse=False):
        built.register_parameter(key, nn.Parameter(parameter, parameter.requires_grad))
    for key, buffer in scripted.named_buffers(recurse=False):
        built.register_buffer(key, buffer)
    for key, child in _children(scripted, name).items():
        built.add_module(key, child)
    own = {*dict(scripted.named_parameters(recurse=False)), *dict(scripted.named_buffers(recurse=False))}
    for key in scripted_attributes(scripted):
        if key not in own:
            setattr(built, key, getattr(scripted, key))
    if isinstance(built, nn.RNNBase):
        flatten_weights(built)
    return built


def _is_traced(scripted: torch.jit.ScriptModule, kind: type[nn.Module]) -> bool:
    """Whether a module is a trace, which keeps the name of its class but not what the class's forward needs."""
    return isinstance(scripted, TRACED) or (issubclass(kind, nn.RNNBase) and not lists_weights(scripted))


def _class(scripted: Any) -> type[nn.Module] | None:
    """The Python class that a module was scripted from; None where it is not known, or is no ordinary module."""
    found = scripted_class(scripted)
    if not isinstance(found, type) or not issubclass(found, nn.Module) or issubclass(found, torch.jit.ScriptModule):
        return None
    return found
