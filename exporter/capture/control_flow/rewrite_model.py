"""Within a block, a model runs in its rewritten form: its modules' `forward` and `__call__`, and what these call."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from types import FunctionType
from typing import Any

from torch import Tensor, nn

from ...torch_internals.modules import tree_leaves
from .calls import is_native
from .flow import Flow


@contextmanager
def rewritten_model(
    model: nn.Module, *, fixed_loops: bool, growing: bool = False, apart: bool = False
) -> Iterator[Flow]:
    """Shadow `forward`, and a `__call__` of its own, in each module of the model's own code; restored afterwards.

    Args:
        fixed_loops: whether loops of a plain number of steps are kept whole too.
        growing: whether a loop may carry what is longer after every step, which costs a copy of it in each.
        apart: whether each way that the model goes by its sizes is run on its own, from the first input on.
    """
    flow = Flow(fixed_loops=fixed_loops, growing=growing)
    values = {name: tensor.detach() for name, tensor in _tensors(model).items()}
    with ExitStack() as restore:
        for module in model.modules():
            forward = module.forward
            made = None if _is_library(module) else flow.rewritten(forward)
            if module is model:
                made = _first_forward(model, made or forward, values, flow, apart=apart)
            if made is not None:
                restore.callback(_shadow(module, made))
            call = type(module).__call__
            made_call = flow.rewritten(call) if isinstance(call, FunctionType) else None
            if made_call is not None:
                restore.callback(_with_call(module, made_call))
        yield flow


def _tensors(model: nn.Module) -> dict[str, Tensor]:
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def _is_library(module: nn.Module) -> bool:
    return is_native(type(module).__module__) and "forward" not in vars(module)


def _shadow(module: nn.Module, forward: Any) -> Any:
    before = vars(module).get("forward")
    module.__dict__["forward"] = forward

    def undo() -> None:
        if before is None:
            module.__dict__.pop("forward")
        else:
            module.__dict__["forward"] = before

    return undo


def _with_call(module: nn.Module, call: Any) -> Any:
    """Python looks `__call__` up in the class alone: the module is of one of its own for as long."""
    before = type(module)
    module.__class__ = type(before.__name__, (before,), {"__call__": call, "__module__": before.__module__})

    def undo() -> None:
        module.__class__ = before

    return undo


def _first_forward(model: nn.Module, forward: Any, values: dict[str, Tensor], flow: Flow, *, apart: bool) -> Any:
    """The model's forward, which first tells what its parameters are: a capture has replaced them by then."""

    @functools.wraps(forward)
    def noting(*args: Any, **kwargs: Any) -> Any:
        for name, tensor in _tensors(model).items():
            flow.constants.add(tensor, values[name])
        with flow.constants, flow.whole_numbers if flow.growing else nullcontext():
            if not apart:
                return forward(*args, **kwargs)
            inputs = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
            return flow.paths.run(model, lambda: forward(*args, **kwargs), inputs)

    return noting
