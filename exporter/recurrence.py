"""Run a cell over time, or until it is done: a plain loop in PyTorch, one `Scan` or `Loop` in the exported graph."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from .errors import InputError
from .torch_internals.collecting_loop import COLLECTING_LOOP
from .torch_internals.modules import tree_flatten, tree_leaves, tree_map, tree_structure, tree_unflatten

Cell = Callable[[Any, Any], Any]


def recur(cell: Cell, xs: Any, state: Any) -> tuple[Tensor, Any]:
    """Call `cell(x, state)` for every time step, each time with the state it returned before.

    Args:
        cell: returns the next state, in the form that it was given (as `nn.GRUCell` and `nn.LSTMCell` do), or a pair
            of what it puts out, a tensor, and that state.
        xs: a tensor [T, ...], or a tuple, list or dictionary of such tensors, all of one T >= 1.
        state: before the first step: a tensor, or a tuple, list or dictionary of tensors.

    Returns:
        ys: float[T, ...], what each step puts out; where the cell returns its state alone, the first tensor of that.
        state: after the last step.

    Raises:
        InputError: there is no time step, lengths differ, or the cell returns a state of another form.
    """
    if torch.compiler.is_exporting() and isinstance(cell, nn.Module):
        return _scanned(cell, xs, state)
    lengths = {len(x) for x in tree_leaves(xs)}
    if len(lengths) != 1 or 0 in lengths:
        given = " and ".join(map(str, sorted(lengths))) or "no"
        raise InputError(f"recur was given {given} time steps. Give tensors of one length T of at least 1.")
    ys = []
    for t in range(lengths.pop()):
        y, state = _step(cell, tree_map(lambda x, t=t: x[t], xs), state)
        ys.append(y)
    return torch.stack(ys), state


def recur_until(
    step: Callable[[Any], Any], state: Any, stop: Callable[[Any], Tensor], limit: int | None = None
) -> tuple[Tensor, Any]:
    """Call `step(state)`, each time with the state it returned before, until every sequence is at its end.

    There is at least one step. A sequence that is at its end goes through the steps of those that are not.

    Args:
        step: returns the next state, in the form that it was given, or a pair of what it puts out, a tensor, and that
            state. In an export it may be any function, and the parameters that it reads are found.
        state: before the first step: a tensor, or a tuple, list or dictionary of tensors.
        stop: says of a state whether sequences are at their end: bool, 0-d or [N]. One that was at its end stays so.
        limit: the most steps, at least 1; without it only `stop` ends the loop.

    Returns:
        ys: float[steps, ...], what each step puts out; where `step` returns its state alone, the first tensor of that.
        state: after the last step.

    Raises:
        InputError: `limit` is not at least 1, or `step` returns a state of another form.
    """
    if limit is not None and limit < 1:
        raise InputError(f"recur_until was given a limit of {limit} steps. Give one of at least 1.")
    states, form = tree_flatten(state)

    def body(count: Tensor, ended: Tensor, *tensors: Tensor) -> list[Tensor]:
        before = tree_unflatten(tensors, form)
        y, after = _output_and_state(step, step(before), before)
        ended = ended | stop(after)
        going = ~ended.all() if limit is None else ~ended.all() & (count + 1 < limit)
        return [going, count + 1, ended, *tree_leaves(after), y]

    none_ended = torch.zeros_like(stop(state), dtype=torch.bool)
    begun = [torch.zeros((), dtype=torch.int64), none_ended, *states]
    _, _, *ends, ys = COLLECTING_LOOP(body, torch.ones((), dtype=torch.bool), begun, ())
    return ys, tree_unflatten(ends, form)


class Recurrent(nn.Module):
    """A cell run over time, as a module: `recur` with the cell's parameters among its own."""

    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, xs: Any, state: Any) -> tuple[Tensor, Any]:
        """The outputs of all steps [T, ...] and the last state; see `recur`."""
        return recur(self.cell, xs, state)


def _step(cell: Cell, x: Any, state: Any) -> tuple[Tensor, Any]:
    """What one step puts out, and the state after it."""
    return _output_and_state(cell, cell(x, state), state)


def _output_and_state(cell: Callable[..., Any], result: Any, state: Any) -> tuple[Tensor, Any]:
    """What a cell puts out, and the next state, from its result and the state it was given."""
    form = tree_structure(state)
    if tree_structure(result) == form:
        return tree_leaves(result)[0], result
    if isinstance(result, tuple) and len(result) == 2 and tree_structure(result[1]) == form:
        return result
    name = getattr(cell, "__name__", type(cell).__name__)
    raise InputError(
        f"The cell {name} returns neither a state of the form it is given nor a pair of an output and "
        "that state. Return the state, or (output, state)."
    )


def _call(cell: nn.Module, weights: dict[str, Tensor], x: Any, state: Any) -> Any:
    return functional_call(cell, weights, (x, state))


def _scanned(cell: nn.Module, xs: Any, state: Any) -> tuple[Tensor, Any]:
    """The same as PyTorch's `scan`, which takes no parameters but those it is handed: a function's are not known."""
    inputs, form = tree_flatten(xs)
    states, state_form = tree_flatten(state)
    owned = {**dict(cell.named_parameters()), **dict(cell.named_buffers())}

    def step(*tensors: Tensor) -> list[Tensor]:
        state = tree_unflatten(tensors[: len(states)], state_form)
        x = tree_unflatten(tensors[len(states) : len(states) + len(inputs)], form)
        given = dict(zip(owned, tensors[len(states) + len(inputs) :], strict=True))
        y, after = _step(partial(_call, cell, given), x, state)
        # A scan's outputs may be neither its inputs nor one another.
        return [tensor.clone() for tensor in (*tree_leaves(after), y)]

    # PyTorch takes two inputs that are one tensor for each other.
    begun = [tensor.clone() for tensor in states]
    *ends, ys = torch.ops.higher_order.scan(step, begun, inputs, tuple(owned.values()))
    return ys, tree_unflatten(ends, state_form)
