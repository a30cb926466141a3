"""`torch.autograd.Function.apply` of the model's own code: its `forward` is called, whose loops are then seen."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import Any

import torch


class _Context:
    """What `forward` keeps for a backward pass, which an exported model has none of."""

    def __init__(self, inputs: int) -> None:
        self.needs_input_grad = (False,) * inputs

    def save_for_backward(self, *tensors: Any) -> None:
        pass

    save_for_forward = mark_dirty = mark_non_differentiable = save_for_backward

    def set_materialize_grads(self, value: bool) -> None:
        pass


def applied(function: Any) -> Callable[..., Any] | None:
    """The `forward` of the class whose `apply` a function is; None where it is none."""
    owner = function.__self__ if isinstance(function, MethodType) and function.__name__ == "apply" else None
    if not isinstance(owner, type) or not issubclass(owner, torch.autograd.Function):
        return None
    forward: Callable[..., Any] = owner.forward
    return forward


def takes_context(function: Any) -> bool:
    """Whether the `forward` of that class is given the context itself, and not `setup_context` after it."""
    return bool(function.__self__.setup_context is torch.autograd.Function.setup_context)


def with_context(forward: Callable[..., Any]) -> Callable[..., Any]:
    """`forward` as `apply` calls it."""
    return lambda *args: forward(_Context(len(args)), *args)
