"""A scripted module with some arguments of its forward given: those that are numbers, switches or text, no tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ...errors import LoadError, did_you_mean
from ...torch_internals.modules import scripted_arguments
from ..generated_source import import_generated
from .namespace import namespace
from .text import literal


def pinned(scripted: torch.jit.ScriptModule, given: Mapping[str, Any]) -> nn.Module:
    """A module that takes the other arguments of `forward`, and calls the scripted one, as `model`, with these as well.

    Raises:
        LoadError: forward has no such argument, or it is a tensor.
    """
    arguments = scripted_arguments(scripted) or ()
    plain = [argument.name for argument in arguments if "Tensor" not in str(argument.type)]
    for name in given:
        if name not in plain:
            can = f"It takes {', '.join(plain)}." if plain else "All that it takes are tensors."
            raise LoadError(
                f"The TorchScript's forward has no argument '{name}' to set.{did_you_mean(name, plain)} {can}"
            )
    takes = [_spelled(argument) for argument in arguments if argument.name not in given]
    passed = [
        f"{argument.name}={literal(given[argument.name]) if argument.name in given else argument.name}"
        for argument in arguments
    ]
    text = (
        "class Pinned(Module):\n"
        f"    def forward({', '.join(['self', *takes])}):\n"
        f"        return self.model({', '.join(passed)})\n"
    )
    module: nn.Module = import_generated(text, "Pinned", {}, namespace).Pinned()
    module.add_module("model", scripted)
    return module


def _spelled(argument: Any) -> str:
    default = argument.default_value if argument.has_default_value() else torch.Tensor
    return (
        argument.name
        if default is torch.Tensor or isinstance(default, torch.Tensor)
        else (f"{argument.name}={literal(default)}")
    )
