"""Run PyTorch's control flow operators (`cond`, `scan`, `while_loop`, `map`) as the Python that they stand for.

PyTorch compiles each call of one with Dynamo: slow, and none of the modes that watch or change what a model computes
sees into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from itertools import count
from typing import Any

import torch
from torch import Tensor

from ..errors import LoadError
from ..torch_internals.collecting_loop import COLLECTING_LOOP, collect
from ..torch_internals.control_flow import (
    ASSOCIATIVE_SCAN,
    COND,
    MAP,
    SCAN,
    WHILE_LOOP,
    generic_associative_scan,
    replaced_operators,
)
from ..torch_internals.modules import tree_flatten, tree_unflatten

# Whatever a loop computes, it has ended by then, unless it never does.
_MOST_STEPS = 20_000


def control_flow_in_python() -> AbstractContextManager[None]:
    """Within the block a model's control flow operators run step by step; exclusive, and restored afterwards."""
    return replaced_operators(
        {
            COND: _cond,
            SCAN: _scan,
            WHILE_LOOP: _while_loop,
            COLLECTING_LOOP: _collecting_loop,
            MAP: _map,
            ASSOCIATIVE_SCAN: _associative_scan,
        }
    )


def _cond(pred: Any, true_fn: Callable[..., Any], false_fn: Callable[..., Any], operands: Sequence[Any] = ()) -> Any:
    return true_fn(*operands) if pred else false_fn(*operands)


def _while_loop(
    cond_fn: Callable[..., Any],
    body_fn: Callable[..., Any],
    carried: Sequence[Any],
    additional: Sequence[Any],
    mutated_arg_indices: str = "",
) -> Any:
    values, form = [*carried], None
    body_fn = _ending(body_fn)
    while cond_fn(*values, *additional):
        values, form = tree_flatten(body_fn(*values, *additional))
    return tuple(values) if form is None else tree_unflatten(values, form)


def _collecting_loop(
    body: Callable[..., Any], go: Tensor, carried: Sequence[Tensor], additional: Sequence[Any]
) -> tuple[Tensor, ...]:
    return collect(_ending(body), go, carried, additional)


def _ending(body: Callable[..., Any]) -> Callable[..., Any]:
    """A loop's body that raises where the loop does not end, as one may that waits for a number and meets NaN."""
    steps = count(1)

    def counted(*args: Any) -> Any:
        if next(steps) > _MOST_STEPS:
            raise LoadError(
                f"A loop of the model has not ended after {_MOST_STEPS:,} steps. Count its steps, and end it at a "
                "limit."
            )
        return body(*args)

    return counted


def _scan(
    combine_fn: Callable[..., Any], init: Sequence[Tensor], xs: Sequence[Tensor], additional_inputs: Sequence[Any]
) -> Any:
    def step(carry: Sequence[Tensor], elements: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor], Any]:
        outputs, form = tree_flatten(combine_fn(*carry, *elements, *additional_inputs))
        return outputs[: len(init)], outputs[len(init) :], form

    carry: list[Tensor] = list(init)
    form: Any = None
    steps = []
    for elements in _elements(xs):
        carry, outputs, form = step(carry, elements)
        steps.append(outputs)
    if steps:
        return tree_unflatten([*carry, *map(torch.stack, zip(*steps, strict=True))], form)
    # What a step would put out tells the shape of a stack of none.
    _, outputs, form = step(carry, [x.new_zeros(x.shape[1:]) for x in xs])
    return tree_unflatten([*carry, *(output.new_zeros((0, *output.shape)) for output in outputs)], form)


def _map(f: Callable[..., Any], xs: Sequence[Tensor], pos_args: Sequence[Any]) -> Any:
    return _scan(f, [], xs, pos_args)


def _associative_scan(combine_fn: Callable[..., Any], xs: Sequence[Tensor], additional_inputs: Sequence[Any]) -> Any:
    return generic_associative_scan(combine_fn, xs, additional_inputs=additional_inputs)


def _elements(xs: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    return ([x[t] for x in xs] for t in range(len(xs[0])))
