"""A model as it is before its first call: a copy, after its own `reset()` where it has one."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import torch
from torch import nn

from ..run import suppress_output
from .places import copied, same


def at_start(model: nn.Module) -> nn.Module:
    """A copy of a model to which no call has been made since it was reset; its weights are the model's own values."""
    start = copied(model)
    own = [*_resets(start)]
    for module, name in own or [found for part in start.modules() if part is not start for found in _resets(part)]:
        _call(start, module, name)
    return start


def _resets(module: nn.Module) -> Iterator[tuple[nn.Module, str]]:
    """The methods of a module's own class that may forget its calls: `reset`, `reset_states` and the like."""
    if type(module).__module__.startswith("torch.") or isinstance(module, torch.jit.ScriptModule):
        return
    for name in sorted(name for name in dir(type(module)) if name == "reset" or name.startswith("reset_")):
        method = getattr(module, name, None)
        if inspect.ismethod(method) and not method.__func__.__module__.startswith("torch.") and _needs_nothing(method):
            yield module, name


def _needs_nothing(method: object) -> bool:
    parameters = inspect.signature(method).parameters.values()  # type: ignore[arg-type]
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return all(each.default is not each.empty or each.kind in optional for each in parameters)


def _call(start: nn.Module, module: nn.Module, name: str) -> None:
    """Call it, and undo what it does to weights: `reset_parameters` and the like draw other ones."""
    weights = [(weight, weight.detach().clone()) for weight in start.parameters()]
    generator = torch.get_rng_state()
    try:
        with suppress_output(), torch.no_grad():
            getattr(module, name)()
    except Exception:  # whatever the method raises without what it would be given; it then is none that is meant
        pass
    finally:
        torch.set_rng_state(generator)
        with torch.no_grad():
            for weight, before in weights:
                if not same(weight.detach(), before):
                    weight.copy_(before)
