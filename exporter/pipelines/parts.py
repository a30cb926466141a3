"""The parts of a model that become graphs of their own: modules in it, or methods of it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MethodType
from typing import Any

from torch import nn

from ..errors import LoadError, did_you_mean
from ..spec.signature import Signature, TensorSpec, as_signature
from ..spec.streams import after_name


@dataclass(frozen=True)
class Part:
    """One graph of a model.

    Args:
        model: a module, or a method of one, such as `model.decode`.
        inputs: what it takes, as a `Signature` has it.
        outputs: names for what it returns.
        states: input name to output name; `h0` and `h_n` pair by themselves.
        stateful: carry the hidden states of its recurrent layers from chunk to chunk, or from step to step.
    """

    model: Any
    inputs: Mapping[str, TensorSpec | str] | Sequence[str] | str | Signature
    outputs: Sequence[str] | str = ()
    states: Mapping[str, str] = field(default_factory=dict)
    stateful: bool = False

    @property
    def module(self) -> nn.Module:
        """What is exported.

        Raises:
            LoadError: it is neither a module nor a method of one.
        """
        if isinstance(self.model, nn.Module):
            return self.model
        owner = getattr(self.model, "__self__", None)
        if not isinstance(self.model, MethodType) or not isinstance(owner, nn.Module):
            kind = type(self.model).__name__
            raise LoadError(f"A part of the model is a {kind}. Give an nn.Module, or a method of one.")
        return _running(owner, self.model)

    @property
    def signature(self) -> Signature:
        signature = as_signature(self.inputs)
        if isinstance(self.inputs, Signature):
            return signature
        outputs = Signature(signature.inputs, self.outputs).outputs
        by_name = {name: after_name(name) for name in signature.inputs if after_name(name) in outputs}
        return Signature(signature.inputs, outputs, {**by_name, **self.states})


def part_of(model: Any, path: str) -> Any:
    """What `encoder` or `net.decode` is in a model: an attribute, or an entry of a dictionary.

    Raises:
        LoadError: there is none.
    """
    found = model
    for name in path.split("."):
        inside = found if isinstance(found, Mapping) else None
        if inside is not None and name in inside:
            found = inside[name]
        elif inside is None and hasattr(found, name):
            found = getattr(found, name)
        else:
            known = [*inside] if inside is not None else [name for name, _ in _children(found)]
            raise LoadError(
                f"The model has no part '{path}'.{did_you_mean(name, known)} It has {', '.join(known) or 'none'}."
            )
    return found


def _children(found: Any) -> list[tuple[str, nn.Module]]:
    return list(found.named_children()) if isinstance(found, nn.Module) else []


def _running(owner: nn.Module, method: MethodType) -> nn.Module:
    """The module with the method in place of its forward; weights and submodules are the same objects."""
    module = copy.copy(owner)
    module.__class__ = type(
        type(owner).__name__, (type(owner),), {"forward": method.__func__, "__module__": owner.__module__}
    )
    return module
