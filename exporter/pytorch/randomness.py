"""Refuse a model that draws random numbers: a file cannot draw the same, also where the model seeds them."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.export import ExportedProgram
from torch.fx import GraphModule

from ..errors import LoadError
from ..torch_internals.modules import TorchDispatchMode, exclusive, patched
from ..torch_internals.random_operators import drawing_nodes, draws
from .coins import Coin, matters, tossing
from .source_lines import at, current_line, is_users, node_line, stack_line


class RandomError(LoadError):
    """The model draws random numbers, or gives two answers to one input."""


def random_error(what: str, line: str) -> RandomError:
    """The error for a model that draws random numbers by `what`, an operator or a module, at a line."""
    return RandomError(
        f"The model draws random numbers, also in evaluation mode: {what}{at(line)}. A file cannot draw the same. "
        "Make it depend on self.training, or take it as an input."
    )


@contextmanager
def refusing_randomness(model: nn.Module) -> Iterator[None]:
    """Within the block the model is run; whether it drew random numbers is told at the end, also where it raised.

    The states of all global generators are others within the block, and restored afterwards.

    Raises:
        RandomError: it drew some.
    """
    with other_generators(), ExitStack() as patches:
        drawn: list[tuple[str, str]] = []
        tossed: list[tuple[Coin, str]] = []
        for owner, name, watched in [*_makers(model, drawn), *_coins(model, tossed)]:
            patches.enter_context(patched(owner, name, watched))
        before = _states()
        try:
            with _Watch(drawn):
                yield
        finally:
            drawn += [("'random.random'", line) for coin, line in tossed if matters(coin)]
            drawn += [(f"'{name}'", "") for name, state in _states().items() if state != before[name]]
            if drawn:
                what, line = drawn[0]
                raise random_error(what, line or _scripted_line(model))


@contextmanager
def watching() -> Iterator[None]:
    """The same for PyTorch's operators alone, which takes less time.

    Raises:
        RandomError: one drew random numbers.
    """
    drawn: list[tuple[str, str]] = []
    with _Watch(drawn):
        yield
    if drawn:
        raise random_error(*drawn[0])


@contextmanager
def other_generators() -> Iterator[None]:
    """Within the block every global generator of Python, numpy and PyTorch has a new state; exclusive."""
    with exclusive(), torch.random.fork_rng(devices=[]):
        python, numpy = random.getstate(), np.random.get_state()
        torch.seed()
        random.seed()
        np.random.seed()
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def check_same_answer(once: Mapping[str, Any], again: Mapping[str, Any]) -> None:
    """Compare two answers of a model, as arrays, to the same inputs.

    Raises:
        LoadError: they differ by more than a rounding.
    """
    for name, array in once.items():
        same = array.shape == again[name].shape and np.allclose(array, again[name], 1e-4, 1e-6, equal_nan=True)
        if not same:
            raise LoadError(
                f"The model gives two answers for '{name}' to one input, at some sizes: it draws random numbers, or "
                "reads a clock. Make it depend on self.training, or take the numbers as an input."
            )


def check_script(graph: torch.Graph) -> None:
    """See that nothing in the graph of a TorchScript module draws random numbers, at whatever size.

    Raises:
        RandomError: an operator does.
    """
    for operator, source in drawing_nodes(graph):
        raise random_error(f"'{operator}'", stack_line(source))


def check_program(program: ExportedProgram) -> None:
    """The same for a captured program, with the graphs of its loops."""
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            if draws(node.target, node.args, node.kwargs):
                raise random_error(f"'{node.target.overloadpacket.__name__}'", node_line(node))


def _scripted_line(model: nn.Module) -> str:
    """The line from which the graph of a TorchScript module draws; empty for any other module."""
    found = drawing_nodes(model.inlined_graph) if isinstance(model, torch.jit.ScriptModule) else []
    return stack_line(found[0][1]) if found else ""


def _states() -> dict[str, str]:
    return {"random": repr(random.getstate()), "numpy.random": repr(np.random.get_state(legacy=False))}


class _Watch(TorchDispatchMode):
    """Notes each operator of PyTorch that draws random numbers, with the line that called it."""

    def __init__(self, drawn: list[tuple[str, str]]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._drawn = drawn

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if draws(func, args, kwargs or {}) and not self._drawn:
            self._drawn.append((f"'{func.overloadpacket.__name__}'", current_line()))
        return func(*args, **(kwargs or {}))


# What makes a generator of its own, whose numbers no global state shows.
_MAKERS = (np.random.default_rng, np.random.RandomState, random.Random)


def _makers(model: nn.Module, drawn: list[tuple[str, str]]) -> Iterator[tuple[Any, str, Any]]:
    """Where a maker of generators is named, in its own module or the model's: owner, name, and what notes its use."""
    for owner in (np.random, random, *_users_modules(model)):
        for name, value in list(vars(owner).items()):
            if any(value is maker for maker in _MAKERS):
                yield owner, name, _noted(value, drawn)


def _coins(model: nn.Module, tossed: list[tuple[Coin, str]]) -> Iterator[tuple[Any, str, Any]]:
    """Where `random.random` is named, and what notes its numbers."""
    toss, draw = tossing(tossed, current_line), random.random
    for owner in (random, *_users_modules(model)):
        for name, value in list(vars(owner).items()):
            if value is draw:
                yield owner, name, toss


def _users_modules(model: nn.Module) -> list[ModuleType]:
    names = {module.__module__ for each in model.modules() for module in type(each).__mro__}
    return [sys.modules[name] for name in sorted(names) if _is_users_module(name)]


def _is_users_module(name: str) -> bool:
    return is_users(getattr(sys.modules.get(name), "__file__", None) or "<none>")


def _noted(maker: Any, drawn: list[tuple[str, str]]) -> Any:
    def note() -> None:
        drawn.append((f"'{maker.__module__.partition('.')[0]}.{maker.__name__}'", current_line()))

    if not isinstance(maker, type):

        def make(*args: Any, **kwargs: Any) -> Any:
            note()
            return maker(*args, **kwargs)

        return make

    init = vars(maker)["__init__"]

    def begin(self: Any, *args: Any, **kwargs: Any) -> None:
        note()
        init(self, *args, **kwargs)

    return type(maker.__name__, (maker,), {"__init__": begin})
