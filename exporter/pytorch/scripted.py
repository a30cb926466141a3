"""Take TorchScript back to Python: the class that a module was scripted from, or else the code inside.

`torch.export` cannot look into TorchScript, where sizes are plain numbers. What was scripted in this process is built
again as its class. A trace, a class derived from `ScriptModule` and an archive have no Python that is known to compute
the same, and their own code is written as Python.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from ..torch_internals.modules import (
    TRACED,
    flatten_weights,
    is_scripted_here,
    lists_weights,
    scripted_attributes,
    scripted_class,
    with_children,
)
from .script.build import python_form


def scripted_to_eager(model: nn.Module) -> nn.Module:
    """The model with every scripted module in it as the Python class it was made from; parameters are shared.

    A model without any is returned as it is; no other is changed.

    Raises:
        LoadError: the code of a module has no form in Python.
    """
    return _replaced(model, _rebuilt)


def code_to_eager(model: nn.Module) -> nn.Module:
    """The model with every scripted module in it as the code inside, whatever class it was made from.

    Raises:
        LoadError: the code of a module has no form in Python.
    """
    return _replaced(model, python_form)


def _replaced(model: nn.Module, form: Callable[[torch.jit.ScriptModule], nn.Module]) -> nn.Module:
    if isinstance(model, torch.jit.ScriptModule):
        return form(model)
    if not any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        return model
    return with_children(model, {key: _replaced(child, form) for key, child in model.named_children()})


def _rebuilt(scripted: torch.jit.ScriptModule) -> nn.Module:
    kind = _class(scripted)
    if kind is None or _is_traced(scripted, kind):
        return python_form(scripted)
    built: nn.Module = kind.__new__(kind)
    nn.Module.__init__(built)
    for key, parameter in scripted.named_parameters(recurse=False):
        built.register_parameter(key, nn.Parameter(parameter, parameter.requires_grad))
    for key, buffer in scripted.named_buffers(recurse=False):
        built.register_buffer(key, buffer)
    for key, child in scripted.named_children():
        built.add_module(key, scripted_to_eager(child))
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
    """The Python class that a module was scripted from, here; None for a trace, an archive and a `ScriptModule`."""
    found = scripted_class(scripted) if is_scripted_here(scripted) else None
    if not isinstance(found, type) or not issubclass(found, nn.Module) or issubclass(found, torch.jit.ScriptModule):
        return None
    return found
