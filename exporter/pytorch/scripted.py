"""From TorchScript back to Python: a scripted module remembers its class, and holds all that its forward needs.

`torch.export` cannot look into TorchScript; sizes are plain numbers there. A trace has no class and stays refused.
"""

from __future__ import annotations

import re
import sys
from typing import Any

import torch
from torch import nn
from torch.jit._trace import TopLevelTracedModule, TracedModule

from ..errors import LoadError

# What TorchScript puts into the name of a class that it has compiled before.
_MANGLED = re.compile(r"\.___torch_mangle_\d+")


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
    copied: nn.Module = type(model).__new__(type(model))
    vars(copied).update(vars(model))
    vars(copied)["_modules"] = _children(model, name)
    return copied


def _children(model: nn.Module, name: str) -> dict[str, nn.Module]:
    return {key: scripted_to_eager(child, f"{name}.{key}".lstrip(".")) for key, child in model.named_children()}


def _rebuilt(scripted: torch.jit.ScriptModule, name: str) -> nn.Module:
    concrete, kind = scripted._concrete_type, _class(scripted)
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
    for key in {**concrete.get_constants(), **concrete.get_attributes()}:
        if key not in own:
            setattr(built, key, getattr(scripted, key))
    if isinstance(built, nn.RNNBase):
        built._init_flat_weights()
    return built


def _is_traced(scripted: torch.jit.ScriptModule, kind: type[nn.Module]) -> bool:
    """A trace keeps its class's name, and none of what the class's forward needs."""
    return isinstance(scripted, (TopLevelTracedModule, TracedModule)) or (
        issubclass(kind, nn.RNNBase) and not hasattr(scripted, "_flat_weights_names")
    )


def _class(scripted: Any) -> type[nn.Module] | None:
    """The Python class, from the compiler's memory, or by its name where that is loaded from a file."""
    found = scripted._concrete_type.py_class
    if found is None and scripted.original_name:
        qualified = _MANGLED.sub("", scripted._c._type().qualified_name()).removeprefix("__torch__.")
        place, _, attribute = qualified.rpartition(".")
        found = getattr(sys.modules.get(place), attribute, None)
    if not isinstance(found, type) or not issubclass(found, nn.Module) or issubclass(found, torch.jit.ScriptModule):
        return None
    return found
