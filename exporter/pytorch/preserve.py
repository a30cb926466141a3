"""Preserve a module's state across a run, as its forward may write to attributes, lists and buffers."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def preserve_module_state(model: nn.Module) -> Iterator[None]:
    """Undo what is written to the model within the block."""
    modules = [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]
    attributes = [(module, dict(vars(module))) for module in modules]
    containers = {
        id(value): (value, copy.copy(value))
        for _, values in attributes
        for value in values.values()
        if isinstance(value, (list, dict, set, deque))
    }
    contents = [(buffer, buffer.clone()) for buffer in model.buffers()]
    try:
        yield
    finally:
        for module, values in attributes:
            vars(module).clear()
            vars(module).update(values)
        for container, before in containers.values():
            _refill(container, before)
        with torch.no_grad():
            for buffer, content in contents:
                buffer.copy_(content)


def _refill(container: Any, before: Any) -> None:
    container.clear()
    if isinstance(container, (list, deque)):
        container.extend(before)
    else:
        container.update(before)
