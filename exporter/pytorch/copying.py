"""Copy a model that holds what cannot be copied, such as a logger or a lock: the copy shares it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from torch import nn

_OF_EVERY_MODULE = frozenset(vars(nn.Module()))


def copied(model: nn.Module, memo: Mapping[int, Any] | None = None) -> nn.Module:
    """A deep copy, in which `memo` says what takes the place of an object of that id.

    Raises:
        Exception: whatever a module's own `__deepcopy__` raises.
    """
    given = dict(memo or {})
    try:
        return copy.deepcopy(model, dict(given))
    except Exception:
        return copy.deepcopy(model, given | _not_copied(model))


def _not_copied(model: nn.Module) -> dict[int, Any]:
    """By id what modules hold as attributes that raises when it is copied; weights and submodules are none of these."""
    held = (value for module in model.modules() for name, value in vars(module).items() if name not in _OF_EVERY_MODULE)
    return {id(value): value for value in held if not _can_be_copied(value)}


def _can_be_copied(value: Any) -> bool:
    try:
        copy.deepcopy(value)
    except Exception:  # each class raises its own
        return False
    return True
