"""Shrink a failing case: try smaller sizes, then plainer values, as long as it still fails.

Source of the idea: delta debugging (Zeller and Hildebrandt, Simplifying and Isolating Failure-Inducing Input, 2002).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..pytorch.samples import NON_FINITE, Case
from ..spec.artifact import Values
from .expected import Expected

Array = NDArray[np.generic]
Inputs = Mapping[str, Array]

# Plainest first.
_PLAIN: tuple[Values, ...] = ("zero", "ordinary")


@dataclass(frozen=True)
class Trial:
    """How to try another case.

    `draw` draws a case's inputs and runs them through PyTorch, `feed` runs the given inputs instead; `fails` says
    whether the runtime is wrong.
    """

    draw: Callable[[Case], Expected]
    feed: Callable[[Case, Inputs], Expected]
    fails: Callable[[Expected], bool]


def shrink(item: Expected, trial: Trial) -> Expected:
    """The smallest and plainest case found that still fails; `item` must fail."""
    return _plainer_inputs(_plainer_values(_smaller(item, trial), trial), trial)


def _smaller(item: Expected, trial: Trial) -> Expected:
    before = None
    while item.case != before:
        before = item.case
        for symbol in item.case.sizes:
            item = _smallest(item, symbol, trial)
    return item


def _smallest(item: Expected, symbol: str, trial: Trial) -> Expected:
    """Bisect for the smallest size of a symbol that fails, assuming that every larger one does too."""
    passing = 0
    while item.case.sizes[symbol] - passing > 1:
        middle = (item.case.sizes[symbol] + passing) // 2
        other = trial.draw(replace(item.case, sizes={**item.case.sizes, symbol: middle}))
        if trial.fails(other):
            item = other
        else:
            passing = middle
    return item


def _plainer_values(item: Expected, trial: Trial) -> Expected:
    if item.case.values in _PLAIN[:1]:
        return item
    others = (trial.draw(replace(item.case, values=values)) for values in _PLAIN if values != item.case.values)
    return next((other for other in others if trial.fails(other)), item)


def _plainer_inputs(item: Expected, trial: Trial) -> Expected:
    if item.case.values in NON_FINITE:
        return item  # the elements a NaN affects are found by drawing the case again without it, so its inputs stay
    for name in item.inputs:
        others = (trial.feed(item.case, {**item.inputs, name: array}) for array in _plainer(item.inputs[name]))
        item = next((other for other in others if trial.fails(other)), item)
    return item


def _plainer(array: Array) -> Iterator[Array]:
    """The array with one value everywhere, and with whole numbers."""
    if not array.size:
        return
    yield np.full_like(array, 0 if array.dtype.kind == "f" else array.min())
    if array.dtype.kind == "f":
        yield np.ones_like(array)
        yield np.rint(array)
