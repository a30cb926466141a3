"""A scripted module as an `nn.Module` whose methods are Python functions, with its weights and attributes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import LoadError, first_line, type_in_words
from ...torch_internals.modules import (
    flatten_weights,
    lists_weights,
    scripted_attributes,
    scripted_class,
    scripted_value,
    with_record,
)
from ...torch_internals.script_code import ScriptCode, child_of, has_hooks, kind_of
from ..generated_source import import_generated
from .names import attribute
from .namespace import namespace
from .program import ScriptProgram, constant_name

# What TorchScript keeps of a module and Python has in another way.
_IGNORED = ("training", "_is_full_backward_hook")


def python_form(scripted: torch.jit.ScriptModule, defaults: Sequence[Any] = ()) -> nn.Module:
    """The Python module that computes what a scripted or traced module does; its parameters and buffers are shared.

    A recurrent layer of PyTorch that was scripted, not traced, is that layer again. `defaults` are the values of the
    last arguments of `forward`, where its code does not have them.

    Raises:
        LoadError: an operator of it has no form in Python.
    """
    scripted = with_record(scripted)
    try:
        code = ScriptCode(scripted)
    except RuntimeError as error:
        raise LoadError(
            f"The TorchScript cannot be stored: {first_line(error)}. Give the Python module that it was made from."
        ) from error
    return _Builder(scripted, code, defaults).build()


class _Builder:
    """Builds each module of a model, a parameter that is shared once."""

    def __init__(self, scripted: torch.jit.ScriptModule, code: ScriptCode, defaults: Sequence[Any]) -> None:
        self._scripted = scripted
        self._tensors: dict[int, nn.Parameter] = {}
        modules = {kind: _is_library(module) for module, kind in _kinds(scripted, code.root)}
        self._code = code
        self._program = ScriptProgram(code, kind_of(code.root), modules, defaults)
        text, origins = self._program.text()
        name = self._program.called[kind_of(code.root)]
        self._classes = import_generated(text, name, origins, namespace)

    def build(self) -> nn.Module:
        return self._module(self._scripted, self._code.root, "")

    def _module(self, scripted: Any, coded: Any, path: str) -> nn.Module:
        if has_hooks(scripted):
            raise LoadError(f"{path or 'The TorchScript'} has a forward hook. Remove it, or call it in forward.")
        library = _is_library(scripted)
        built = _library_class(scripted) if library else self._class(kind_of(coded))
        module: nn.Module = built.__new__(built)
        nn.Module.__init__(module)
        own: set[str] = set()
        for name, parameter in scripted.named_parameters(recurse=False):
            module.register_parameter(name, self._parameter(parameter))
            own.add(name)
        for name, buffer in scripted.named_buffers(recurse=False):
            module.register_buffer(name, buffer)
            own.add(name)
        for name, child in scripted.named_children():
            module.add_module(name, self._module(child, child_of(coded, name), f"{path}.{name}".lstrip(".")))
            own.add(name)
        for name in scripted_attributes(scripted):
            if name not in own and name not in _IGNORED:
                setattr(
                    module,
                    name if library else attribute(name),
                    self._plain(scripted_value(scripted, name), name, path),
                )
        module.training = bool(getattr(scripted, "training", False))
        if isinstance(module, nn.RNNBase):
            flatten_weights(module)
        for index, constant in enumerate(self._program.constants.get(kind_of(coded), [])):
            module.register_buffer(constant_name(index), constant, persistent=False)
        return module

    def _class(self, kind: str) -> type[nn.Module]:
        """The class that was written for a module's; a plain one where nothing of it is called."""
        found: type[nn.Module] = getattr(self._classes, self._program.called.get(kind, ""), nn.Module)
        return found

    def _parameter(self, tensor: Tensor) -> nn.Parameter:
        if id(tensor) not in self._tensors:
            self._tensors[id(tensor)] = nn.Parameter(tensor, tensor.requires_grad)
        return self._tensors[id(tensor)]

    def _plain(self, value: Any, name: str, path: str) -> Any:
        """An attribute's value: numbers, text and tensors, and lists, tuples and dictionaries of them."""
        if isinstance(value, (list, tuple)):
            parts = [self._plain(each, name, path) for each in value]
            return parts if isinstance(value, list) else tuple(parts)
        if isinstance(value, dict):
            return {key: self._plain(each, name, path) for key, each in value.items()}
        if isinstance(value, Tensor):
            return self._tensors.get(id(value), value)
        if value is None or isinstance(value, (bool, int, float, str, complex, torch.device, torch.dtype)):
            return value
        raise LoadError(
            f"'{f'{path}.{name}'.lstrip('.')}' of the TorchScript is {type_in_words(value)}, which cannot be "
            "exported to ONNX. Give the Python module that it was made from."
        )


def _kinds(scripted: Any, coded: Any) -> Iterator[tuple[torch.jit.ScriptModule, str]]:
    yield scripted, kind_of(coded)
    for name, child in scripted.named_children():
        yield from _kinds(child, child_of(coded, name))


def _library_class(scripted: torch.jit.ScriptModule) -> type[nn.Module]:
    found: type[nn.Module] = scripted_class(scripted)
    return found


def _is_library(scripted: torch.jit.ScriptModule) -> bool:
    """Whether a module is a recurrent layer of PyTorch that was scripted; a trace lacks what its forward needs."""
    found = scripted_class(scripted)
    return found in (nn.RNN, nn.LSTM, nn.GRU) and lists_weights(scripted)
